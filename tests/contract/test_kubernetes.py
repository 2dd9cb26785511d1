"""The manifests in deploy/kubernetes against one another, and against the code."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

import export.settings
import proxy.settings
import runtime.settings
from proxy.app import create_app
from tests.contract.manifests import (
    FOLDERS,
    IMAGES,
    KSERVE_NAMES,
    MANIFESTS,
    Manifest,
    containers,
    kustomization,
    names,
    pod_of,
    read,
    settings,
    variables,
)


@pytest.fixture(params=["base/deployment.yaml", "kserve/inference-service.yaml"])
def pod(request: pytest.FixtureRequest) -> Manifest:
    return pod_of(read(request.param))


def test_every_file_is_in_its_kustomization() -> None:
    for folder in FOLDERS:
        listed = {name.split("/", 1)[1] for name in names() if name.startswith(f"{folder}/")}
        listed |= {"kustomization.yaml", *kustomization(folder).get("configurations", [])}
        assert {path.name for path in (MANIFESTS / folder).iterdir()} == listed, folder
    assert {path.name for path in MANIFESTS.iterdir()} == {"README.md", *FOLDERS}


def test_selectors_find_the_pods() -> None:
    labels = read("base/deployment.yaml")["spec"]["template"]["metadata"]["labels"]
    selectors = [
        read("base/deployment.yaml")["spec"]["selector"]["matchLabels"],
        read("base/service.yaml")["spec"]["selector"],
        read("base/disruption-budget.yaml")["spec"]["selector"]["matchLabels"],
        read("base/network-policy.yaml")["spec"]["podSelector"]["matchLabels"],
    ]
    selectors += [
        spread["labelSelector"]["matchLabels"]
        for spread in pod_of(read("base/deployment.yaml"))["topologySpreadConstraints"]
    ]
    assert selectors == [labels] * len(selectors)
    assert read("kserve/inference-service.yaml")["metadata"]["labels"] == labels


def test_the_autoscaler_and_the_patch_name_the_deployment() -> None:
    deployment = read("base/deployment.yaml")
    identity = {"apiVersion": deployment["apiVersion"], "kind": "Deployment", "name": deployment["metadata"]["name"]}
    assert read("base/autoscaler.yaml")["spec"]["scaleTargetRef"] == identity
    assert "replicas" not in deployment["spec"]
    patch = read("shared-models/model-volume.yaml")
    assert {**identity, "name": patch["metadata"]["name"]} == identity
    (volume,) = patch["spec"]["template"]["spec"]["volumes"]
    assert volume["name"] in {found["name"] for found in pod_of(deployment)["volumes"]}
    assert volume["persistentVolumeClaim"]["claimName"] == read("shared-models/claim.yaml")["metadata"]["name"]


def test_kserve_runs_the_same_pod() -> None:
    theirs = deepcopy(pod_of(read("kserve/inference-service.yaml")))
    for role, container in containers(theirs).items():
        container["name"] = role
        for entry in container["env"]:
            if (source := entry.get("valueFrom", {}).get("resourceFieldRef")) is not None:
                source["containerName"] = KSERVE_NAMES[source["containerName"]]
    ours = deepcopy(pod_of(read("base/deployment.yaml")))
    del ours["topologySpreadConstraints"]
    assert theirs == ours
    predictor, autoscaler = read("kserve/inference-service.yaml")["spec"]["predictor"], read("base/autoscaler.yaml")
    assert predictor["minReplicas"] == autoscaler["spec"]["minReplicas"]
    assert predictor["maxReplicas"] == autoscaler["spec"]["maxReplicas"]
    assert predictor["scaleTarget"] == autoscaler["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"]
    assert kustomization("kserve")["images"] == kustomization("base")["images"]
    assert {image["name"] for image in kustomization("base")["images"]} == set(IMAGES.values())


def test_only_the_proxys_port_is_open() -> None:
    (service,) = read("base/service.yaml")["spec"]["ports"]
    (opened,) = read("base/network-policy.yaml")["spec"]["ingress"]
    found = containers(pod_of(read("base/deployment.yaml")))
    (port,) = found["proxy"]["ports"]
    assert service["targetPort"] == port["name"]
    assert [service["port"], port["containerPort"]] == [8001, 8001]
    assert opened["ports"] == [{"protocol": "TCP", "port": 8001}]
    assert read("base/network-policy.yaml")["spec"]["policyTypes"] == ["Ingress", "Egress"]


def test_probes_ask_ports_that_are_there(pod: Manifest) -> None:
    for container in pod["containers"]:
        named = {port["name"] for port in container["ports"]}
        for probe in ("livenessProbe", "readinessProbe"):
            assert container[probe]["httpGet"]["port"] in named


def test_every_mount_has_its_volume_and_every_volume_a_bound(pod: Manifest) -> None:
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    mounted = {mount["name"] for container in containers(pod).values() for mount in container["volumeMounts"]}
    assert mounted == set(volumes)
    for volume in volumes.values():
        assert volume["emptyDir"]["sizeLimit"]
    shared = {mount["mountPath"]: mount["name"] for mount in containers(pod)["triton"]["volumeMounts"]}["/dev/shm"]
    assert volumes[shared]["emptyDir"]["medium"] == "Memory"


def test_the_pod_keeps_to_the_restricted_standard(pod: Manifest) -> None:
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 1000
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in containers(pod).values():
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"requests", "limits"} == set(container["resources"])


# Against the code


def test_every_variable_is_a_setting(pod: Manifest) -> None:
    classes: list[Any] = [export.settings.Settings, runtime.settings.Settings, proxy.settings.Settings]
    known = {name.upper() for settings in classes for name in settings.model_fields} | {"HF_HOME", "HF_TOKEN"}
    for container in containers(pod).values():
        assert {entry["name"] for entry in container["env"]} <= known
    assert set(settings()) <= known


def test_the_settings_can_be_read(pod: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    found = containers(pod)
    for container, read_settings in (
        (found["export"], export.settings.Settings),
        (found["proxy"], proxy.settings.read_settings),
        (found["triton"], runtime.settings.load_settings),
    ):
        with monkeypatch.context() as patched:
            for name, value in {**settings(), **variables(container)}.items():
                patched.setenv(name, value)
            read_settings()


def test_no_other_model_than_the_one_asked_for_is_served(pod: Manifest) -> None:
    assert settings()["EXPECTED_MODEL"] == settings()["MODEL"] == export.settings.DEFAULT_MODEL
    for container in containers(pod).values():
        assert "--fallback" not in container.get("command", []) + container.get("args", [])


def test_the_export_fills_what_triton_reads(pod: Manifest) -> None:
    found = containers(pod)
    repository = variables(found["export"])["MODEL_REPOSITORY"]
    assert variables(found["triton"])["MODEL_REPOSITORY"] == repository
    mounts = {
        role: next(mount for mount in found[role]["volumeMounts"] if mount["name"] == "models")
        for role in ("export", "triton")
    }
    for mount in mounts.values():
        assert Path(repository).is_relative_to(mount["mountPath"])
    assert Path(variables(found["export"])["HF_HOME"]).is_relative_to(mounts["export"]["mountPath"])
    assert mounts["export"]["mountPath"] == mounts["triton"]["mountPath"]
    assert mounts["triton"]["readOnly"] is True


def test_the_proxys_probes_ask_routes_that_it_has(pod: Manifest) -> None:
    app = create_app(proxy.settings.Settings())
    for probe, path in (("livenessProbe", "/health/live"), ("readinessProbe", "/health/ready")):
        assert containers(pod)["proxy"][probe]["httpGet"]["path"] == path
        assert path in app.openapi()["paths"]


def test_triton_has_as_many_encoder_threads_as_cores(pod: Manifest) -> None:
    triton = containers(pod)["triton"]
    (source,) = (entry["valueFrom"] for entry in triton["env"] if entry["name"] == "ENCODER_THREADS")
    assert source["resourceFieldRef"]["resource"] == "limits.cpu"
    assert triton["resources"]["limits"]["cpu"] == triton["resources"]["requests"]["cpu"]

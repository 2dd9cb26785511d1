"""The manifests in deploy/kubernetes, read, rendered, and held against the published schemas."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

MANIFESTS = Path(__file__).resolve().parents[2] / "deploy" / "kubernetes"
FOLDERS = ["base", "shared-models", "kserve"]
# The oldest release that has every field used here by default, and the newest whose schemas the validator carries.
RELEASES = ["1.27", "1.37"]
IMAGES = {"export": "uhok-ml-export", "triton": "uhok-ml-triton", "proxy": "uhok-ml-inference"}
# KServe's own names for the two containers, and its own fields of a predictor; all others are those of a pod.
KSERVE_NAMES = {"kserve-container": "triton", "transformer-container": "proxy"}
KSERVE_FIELDS = {"minReplicas": int, "maxReplicas": int, "scaleMetric": str, "scaleTarget": int}

Manifest = dict[str, Any]


def read(name: str) -> Manifest:
    """The one document of a file."""
    (found,) = yaml.safe_load_all((MANIFESTS / name).read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def kustomization(folder: str) -> Manifest:
    return read(f"{folder}/kustomization.yaml")


def names() -> list[str]:
    """Every manifest as folder/file; what only kustomize reads is none."""
    found = []
    for folder in FOLDERS:
        listed = kustomization(folder)
        found += [f"{folder}/{name}" for name in listed["resources"] if name.endswith(".yaml")]
        found += [f"{folder}/{patch['path']}" for patch in listed.get("patches", []) if "path" in patch]
    return found


def pod_of(manifest: Manifest) -> Manifest:
    """The PodSpec of a Deployment or an InferenceService."""
    if manifest["kind"] == "Deployment":
        pod: Manifest = manifest["spec"]["template"]["spec"]
        return pod
    return {name: value for name, value in manifest["spec"]["predictor"].items() if name not in KSERVE_FIELDS}


def check(manifest: Manifest, release: str) -> None:
    """Raises where the schemas of `release` do not know the kind or a field of it, or want another type.

    Those of KServe are not published apart from KServe: its own fields are checked by name and type here, and the rest
    of a predictor as the pod that it is.
    """
    if manifest["apiVersion"].startswith("serving.kserve.io/"):
        assert (manifest["apiVersion"], manifest["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
        assert set(manifest) == {"apiVersion", "kind", "metadata", "spec"}
        assert set(manifest["spec"]) == {"predictor"}
        for name, kind in KSERVE_FIELDS.items():
            assert isinstance(manifest["spec"]["predictor"][name], kind), name
        manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": manifest["metadata"], "spec": pod_of(manifest)}
    kubernetes_validate.validate(manifest, release, strict=True)


def rendered(folder: Path) -> list[Manifest]:
    """What kustomize makes of a folder; skips the test where there is none."""
    tool = shutil.which("kubectl")
    command = [tool, "kustomize"] if tool else [shutil.which("kustomize"), "build"]
    if command[0] is None:
        pytest.skip("neither kubectl nor kustomize is installed")
    run = subprocess.run([*map(str, command), str(folder)], capture_output=True, text=True, check=True)
    return list(yaml.safe_load_all(run.stdout))


def containers(pod: Manifest) -> dict[str, Manifest]:
    """Every container by what it is: export, triton, proxy."""
    return {
        KSERVE_NAMES.get(found["name"], found["name"]): found for found in pod["initContainers"] + pod["containers"]
    }


def variables(container: Manifest) -> dict[str, str]:
    """Those that the manifest itself gives a value."""
    return {entry["name"]: entry["value"] for entry in container["env"] if "value" in entry}


def settings() -> dict[str, str]:
    """The ConfigMap."""
    (generator,) = kustomization("base")["configMapGenerator"]
    return dict(literal.split("=", 1) for literal in generator["literals"])

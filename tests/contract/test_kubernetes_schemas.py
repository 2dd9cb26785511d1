"""Every manifest in deploy/kubernetes, as it stands and as kustomize renders it, against the published schemas."""

import shutil
from copy import deepcopy
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.contract.manifests import (
    FOLDERS,
    IMAGES,
    MANIFESTS,
    RELEASES,
    Manifest,
    check,
    containers,
    names,
    pod_of,
    read,
    rendered,
    settings,
)


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("name", [name for name in names() if name != "shared-models/model-volume.yaml"])
def test_a_manifest_is_what_kubernetes_takes(name: str, release: str) -> None:
    check(read(name), release)


def test_so_is_the_deployment_with_the_shared_volume() -> None:
    deployment, patch = read("base/deployment.yaml"), read("shared-models/model-volume.yaml")
    (volume,) = pod_of(patch)["volumes"]
    assert volume.pop("emptyDir") is None  # what kustomize takes out
    pod_of(deployment)["volumes"][0] = volume
    assert set(patch["spec"]["template"]["spec"]) == {"volumes"}
    for release in RELEASES:
        check(deployment, release)


@pytest.mark.parametrize("folder", FOLDERS)
def test_so_is_what_kustomize_makes_of_them(folder: str) -> None:
    check_rendered(rendered(MANIFESTS / folder))


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_of_ones_own_as_the_readme_has_it(folder: str, tmp_path: Path) -> None:
    shutil.copytree(MANIFESTS, tmp_path, dirs_exist_ok=True)
    example = yaml.safe_load((MANIFESTS / "README.md").read_text(encoding="utf-8").split("```yaml")[1].split("```")[0])
    own = tmp_path / "own"
    own.mkdir()
    (own / "kustomization.yaml").write_text(yaml.safe_dump({**example, "resources": [f"../{folder}"]}))
    found = rendered(own)
    check_rendered(found, registry="registry.example.com/")
    (data,) = (manifest["data"] for manifest in found if manifest["kind"] == "ConfigMap")
    assert data == {**settings(), "PRECISION": "int8"}


def check_rendered(found: list[Manifest], registry: str = "") -> None:
    for manifest in found:
        for release in RELEASES:
            check(manifest, release)
    (config,) = (manifest["metadata"]["name"] for manifest in found if manifest["kind"] == "ConfigMap")
    (workload,) = (manifest for manifest in found if manifest["kind"] in ("Deployment", "InferenceService"))
    by_role = containers(pod_of(workload))
    for role in ("export", "proxy"):
        assert by_role[role]["envFrom"] == [{"configMapRef": {"name": config}}]
    for role, image in IMAGES.items():
        name, _, tag = by_role[role]["image"].partition(":")
        assert name == registry + image
        assert tag


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("base/deployment.yaml", ("spec", "template", "spec", "containers", 1, "readinesProbe")),
        ("base/service.yaml", ("spec", "ports", 0, "prot")),
        ("kserve/inference-service.yaml", ("spec", "predictor", "containers", 0, "readinesProbe")),
    ],
)
def test_a_field_that_is_not_there_is_found(name: str, path: tuple[str | int, ...]) -> None:
    manifest = deepcopy(read(name))
    place: Any = manifest
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="was unexpected"):
        check(manifest, RELEASES[-1])


def test_a_kind_that_is_not_there_is_found() -> None:
    with pytest.raises(kubernetes_validate.SchemaNotFoundError):
        check({**read("base/deployment.yaml"), "apiVersion": "apps/v2"}, RELEASES[-1])

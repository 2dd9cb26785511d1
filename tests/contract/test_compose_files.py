"""The compose files, read as YAML: settings reach the processes, and what stands twice is the same."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import export.settings
import proxy.settings
import runtime.settings

PROJECT = Path(__file__).resolve().parents[2]
FILES = sorted(PROJECT.glob("docker-compose*.yml"))
BASE = yaml.safe_load((PROJECT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
SCALE = yaml.safe_load((PROJECT / "docker-compose.scale.yml").read_text(encoding="utf-8"))["services"]

# What an image or the compose file itself sets, or what only the launcher of `make run` reads.
FIXED = {
    "export": {"MODEL_REPOSITORY"},
    "triton": {"MODEL_REPOSITORY", "START_TIMEOUT_SECONDS"},
    "ml-inference": set(),
}
DOORS = {"PROXY_HOST", "PROXY_PORT", "TRITON_HOST", "TRITON_HTTP_PORT", "TRITON_GRPC_PORT", "TRITON_METRICS_PORT"}


def environment(service: dict[str, Any]) -> dict[str, str | None]:
    """Name to value; None for what is handed on from outside."""
    given = service["environment"]
    if isinstance(given, dict):
        return dict(given)
    pairs = (entry.partition("=") for entry in given)
    return {name: value if equals else None for name, equals, value in pairs}


@pytest.mark.parametrize(
    ("service", "settings"),
    [
        ("export", export.settings.Settings),
        ("triton", runtime.settings.Settings),
        ("ml-inference", proxy.settings.Settings),
    ],
)
def test_every_setting_reaches_its_container(service: str, settings: Any) -> None:
    names = {name.upper() for name in settings.model_fields} - DOORS - FIXED[service]
    assert names <= environment(BASE[service]).keys()


def test_a_setting_is_published_with_the_default_that_it_has() -> None:
    defaults = dict(
        re.findall(r"\$\{([A-Z_]+):-([^}]*)\}", "".join(path.read_text(encoding="utf-8") for path in FILES))
    )
    for settings in (runtime.settings.Settings, proxy.settings.Settings):
        for name, field in settings.model_fields.items():
            if name.upper() in DOORS & defaults.keys():
                assert defaults[name.upper()] == str(field.default)


def test_each_name_has_one_default_in_all_files() -> None:
    found = {
        pair for path in FILES for pair in re.findall(r"\$\{([A-Z_]+):-([^}]*)\}", path.read_text(encoding="utf-8"))
    }
    assert len(found) == len({name for name, _ in found})


def test_the_images_are_named_by_the_project_s_version() -> None:
    version = re.findall(r'^version = "(.*)"$', (PROJECT / "pyproject.toml").read_text(), re.MULTILINE)
    for path in FILES:
        assert set(re.findall(r"IMAGE_TAG:-([^}]*)", path.read_text(encoding="utf-8"))) <= set(version)


def test_copies_are_the_services_of_the_base() -> None:
    for copy in ("triton-2", "triton-3"):
        assert SCALE[copy] == {name: value for name, value in BASE["triton"].items() if name != "build"}
    differ = {"ports", "networks", "environment", "depends_on"}
    for copy, triton in (("copy-1", "triton"), ("copy-2", "triton-2"), ("copy-3", "triton-3")):
        ours, theirs = SCALE[copy], BASE["ml-inference"]
        assert {n: ours[n] for n in ours.keys() - differ} == {n: theirs[n] for n in theirs.keys() - differ}
        assert environment(ours) == environment(theirs) | {"TRITON_URL": f"http://{triton}:8000"}
        assert ours["depends_on"] == {triton: {"condition": "service_healthy"}}

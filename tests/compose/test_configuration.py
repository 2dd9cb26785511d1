"""Every combination of the compose files, read by compose itself."""

import os
import shlex
import subprocess
import tempfile
from itertools import chain, combinations
from typing import Any

import pytest
import yaml

from runtime.settings import PROJECT_ROOT

BASE = "docker-compose.yml"
OVERRIDES = sorted(path.name for path in PROJECT_ROOT.glob("docker-compose.*.yml"))
COMBINATIONS = list(chain.from_iterable(combinations(OVERRIDES, count) for count in range(len(OVERRIDES) + 1)))


def configuration(*files: str, **settings: str) -> Any:
    """What compose makes of the files, with no settings but those given."""
    names = [part for file in files for part in ("--file", file)]
    with tempfile.NamedTemporaryFile() as empty:  # in place of a `.env` that its user has
        done = subprocess.run(
            [*shlex.split(os.environ["COMPOSE"]), "--env-file", empty.name, *names, "config"],
            cwd=PROJECT_ROOT,
            env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **settings},
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 0, done.stderr
    return yaml.safe_load(done.stdout)


@pytest.mark.parametrize("overrides", COMBINATIONS, ids=lambda files: "+".join(files) or "alone")
def test_every_combination_is_valid(overrides: tuple[str, ...]) -> None:
    assert {"export", "triton", "ml-inference"} <= configuration(BASE, *overrides)["services"].keys()


def test_without_settings_it_is_the_original_s_model_and_no_other() -> None:
    services = configuration(BASE)["services"]
    assert services["export"]["environment"].get("MODEL") is None
    assert "--fallback" not in str(services["export"])
    expected = services["ml-inference"]["environment"]["EXPECTED_MODEL"]
    assert expected == "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2"


def test_nvidia_s_image_takes_a_torch_that_it_can_read() -> None:
    services = configuration(BASE, "docker-compose.ngc.yml", TRITONSERVER_TAG="1-x", TORCH="torch==1")["services"]
    assert services["triton"]["build"]["dockerfile"] == "docker/triton-ngc.Dockerfile"
    assert services["triton"]["build"]["args"]["TRITONSERVER_TAG"] == "1-x"
    assert services["export"]["build"]["args"]["TORCH"] == "torch==1"
    # Images of their own: the other way of serving must not pick them up.
    plain = configuration(BASE)["services"]
    assert {services[name]["image"] for name in ("export", "triton")}.isdisjoint(
        {plain[name]["image"] for name in ("export", "triton")}
    )

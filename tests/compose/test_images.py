"""What is in the images, and how large they are."""

import re

import pytest

from tests.compose.conftest import TAG
from tests.compose.stack import engine

NAMES = ("uhok-ml-inference", "uhok-ml-triton", "uhok-ml-export", "uhok-ml-nginx")


def run(image: str, command: str) -> str:
    return engine("run", "--rm", "--network=none", f"{image}:{TAG}", "sh", "-c", command)


@pytest.mark.parametrize(("image", "megabytes"), [("uhok-ml-inference", 200), ("uhok-ml-triton", 1300)])
def test_sizes(images: str, image: str, megabytes: int) -> None:
    print(images[-600:])
    (over,) = set(re.findall(rf"^{image}:{TAG}: \d+ MB, (\d+) MB over its base$", images, re.MULTILINE))
    assert int(over) < megabytes


@pytest.mark.parametrize("image", NAMES)
def test_an_image_brings_no_tools_to_build_with_and_no_root(images: str, image: str) -> None:
    assert images
    assert run(image, "id -u; id -g").split() == ["1000", "1000"]
    assert run(image, "command -v cc gcc make || true") == ""
    assert run(image, "ls -d /opt/venv/bin/pip /root/.cache/* 2>/dev/null || true") == ""


def test_the_proxy_has_neither_torch_nor_triton(images: str) -> None:
    assert images
    packages = run("uhok-ml-inference", "ls /opt/venv/lib/python3.*/site-packages").split()
    assert "fastapi" in packages
    assert {"torch", "transformers", "pytriton", "grpc"}.isdisjoint(packages)

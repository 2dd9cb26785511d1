"""The images, built once, and a service in containers for the tests that share one."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.ports import free_ports
from tests.compose.stack import Stack
from tests.integration.conftest import MULTILINGUAL_MODEL, Doors, Served, load_sentence_transformer

TAG = "test"
# A model that needs no hub. float32, so that vectors can be compared with the original's to the fifth digit.
SETTINGS = {
    "IMAGE_TAG": TAG,
    "MODEL": MULTILINGUAL_MODEL,
    "EXPECTED_MODEL": "multilingual-e5-small",
    "PRECISION": "float32",
    "CACHE_MB": "0",
}
ALL_FILES = "docker-compose.yml:docker-compose.scale.yml"

NewStack = Callable[..., Stack]


@pytest.fixture(scope="session")
def new_stack() -> Iterator[NewStack]:
    """Makes stacks, and leaves nothing of them behind."""
    if subprocess.run(["docker", "info"], capture_output=True, check=False).returncode != 0:
        pytest.exit("these tests need a Docker engine, and `docker info` finds none", returncode=1)
    stacks: list[Stack] = []

    def make(**settings: str) -> Stack:
        project = f"ml-test-{os.getpid()}-{len(stacks)}"
        stacks.append(Stack(project, free_ports(1)[0], **{**SETTINGS, **settings}))
        return stacks[-1]

    yield make
    for stack in stacks:
        stack.make("down-ml", check=False, VOLUMES="1")


@pytest.fixture(scope="session")
def images(new_stack: NewStack) -> str:
    """What `make build` printed; the images are there afterwards."""
    return new_stack(COMPOSE_FILE=ALL_FILES).make("build").stdout


@pytest.fixture(scope="session")
def stack(images: str, new_stack: NewStack) -> Stack:
    """The service of docker-compose.yml, up."""
    assert images
    stack = new_stack()
    stack.make("up-ml")
    return stack


@pytest.fixture(scope="session")
def multilingual_model(stack: Stack, multilingual_folder: Path) -> Served:
    """For the tests of tests/integration that are run against the containers, too."""
    return Served(Doors(proxy=stack.url), load_sentence_transformer(multilingual_folder), MULTILINGUAL_MODEL)

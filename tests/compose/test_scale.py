"""docker-compose.scale.yml under a steady load: a copy may die, and no request fails."""

import re
import shutil
from pathlib import Path

import pytest

from tests.compose.conftest import ALL_FILES, NewStack
from tests.compose.load import Load
from tests.compose.stack import Stack, engine, wait_until

COPIES = ("copy-1", "copy-2", "copy-3")


@pytest.fixture(scope="module")
def scaled(images: str, new_stack: NewStack, small_stand_in: Path, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """On a small model, which is exported in seconds: which model it is makes no difference to the copies."""
    assert images
    folder = tmp_path_factory.mktemp("local")
    shutil.copytree(small_stand_in, folder / "small")
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755)  # the containers' user is another one
    model = {"MODEL_FOLDER": str(folder), "MODEL": "/models/local/small", "EXPECTED_MODEL": "small"}
    stack = new_stack(COMPOSE_FILE=ALL_FILES, **model)
    stack.make("up-ml")
    return stack


def answers_by_copy(stack: Stack) -> dict[str, int]:
    """The embeddings that each copy gave, by nginx's log."""
    log = stack.logs("ml-inference")
    answered = re.findall(r'"POST [^"]*" 200 \S+ s from (?:.*[ ,])?(\S+):8001 (?:.*, )?200$', log, re.MULTILINE)
    names = {address(stack, copy): copy for copy in COPIES}
    return {copy: sum(names.get(each) == copy for each in answered) for copy in COPIES}


def address(stack: Stack, service: str) -> str:
    (network,) = stack.inspect(service)["NetworkSettings"]["Networks"].values()
    return str(network["IPAddress"])


def served(stack: Stack, copy: str) -> int:
    """The embeddings that a copy gave, by its own log."""
    return stack.logs(copy).count("POST /api/v1/embed 200")


@pytest.mark.parametrize("victim", ["copy-2", "triton-3"])
def test_no_request_fails_when_a_part_of_a_copy_is_killed_and_started_again(scaled: Stack, victim: str) -> None:
    copy = victim.replace("triton", "copy")
    with Load(scaled.url, clients=4) as load:
        wait_until(lambda: all(answers_by_copy(scaled).values()))
        engine("kill", scaled.container(victim))
        after = load.answered()
        wait_until(lambda: load.answered() > after + 100)
        engine("start", scaled.container(victim))
        given = served(scaled, copy)
        wait_until(lambda: served(scaled, copy) > given + 5)  # it takes its part again
    assert set(load.answers) == {200}, load.answers
    assert load.answered() > 100


def test_the_log_shows_each_copy_serving(scaled: Stack) -> None:
    by_nginx = answers_by_copy(scaled)
    print(by_nginx)
    assert all(by_nginx.values())
    assert all(served(scaled, copy) for copy in COPIES)


def test_copies_can_be_replaced_one_after_another(scaled: Stack) -> None:
    with Load(scaled.url, clients=2) as load:
        for triton, copy in (("triton", "copy-1"), ("triton-2", "copy-2"), ("triton-3", "copy-3")):
            before = scaled.container(copy)
            scaled.make("restart-ml", RESTART=f"{triton} {copy}")
            assert scaled.container(copy) != before
    assert set(load.answers) == {200}, load.answers

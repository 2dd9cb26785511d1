"""How answers are read from a socket, and what of them is right."""

import asyncio
import json
import random

import numpy as np
import pytest

from proxy.app import create_app
from proxy.settings import Settings
from reliability.corpus import Corpus
from reliability.findings import Findings
from reliability.raw_cases import Door, cases, is_whole
from reliability.raw_sockets import _are_right, add
from tests.contract.serving import serve
from tests.fakes.fake_embedder import FakeEmbedder

CORPUS = Corpus(("a", "b"), {True: np.eye(2, dtype=np.float32)}, dimension=2, version="v")


def answer(vector: list[float]) -> bytes:
    body = json.dumps({"embedding": vector}).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body


def test_answers_one_after_another() -> None:
    both = answer([0, 1]) + answer([1, 0])
    assert _are_right(CORPUS, [1, 0], both)
    assert not _are_right(CORPUS, [0, 1], both)
    assert not _are_right(CORPUS, [1], both)


def test_a_whole_answer() -> None:
    assert is_whole(answer([1, 0]))
    assert not is_whole(answer([1, 0])[:-1])
    assert not is_whole(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(
    ("content", "violated"),
    [
        (answer([1, 0]), False),
        (b"", True),
        (answer([1, 0]) * 2, True),
        (b"HTTP/1.1 422 \r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 500 \r\nContent-Length: 0\r\n\r\n", True),
        (b"refused", True),
    ],
)
def test_another_status_than_the_right_one_is_a_violation(content: bytes, violated: bool) -> None:
    findings = Findings("name")
    add(findings, content, "mark", frozenset({(200,)}))
    assert bool(findings.violations) == violated


@pytest.mark.parametrize("seed", range(5))
def test_the_service_answers_each_case_right(seed: int) -> None:
    found: list[str] = []

    async def try_all(address: str) -> None:
        door = Door(address)
        for name, case in cases(random.Random(seed), "mark").items():
            findings = Findings(name)
            add(findings, await case.send(door), "mark", case.right)
            found.extend(findings.violations)

    with serve(create_app(Settings(), FakeEmbedder())) as address:
        asyncio.run(try_all(address))
    assert found == []

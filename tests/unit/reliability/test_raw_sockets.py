"""How answers are read from a socket."""

import json

import numpy as np

from reliability.corpus import Corpus
from reliability.raw_sockets import _are_right, _is_whole

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
    assert _is_whole(answer([1, 0]))
    assert not _is_whole(answer([1, 0])[:-1])
    assert not _is_whole(b"HTTP/1.1 200 OK\r\n")

"""Callers of Triton itself with inputs that no step of the ensemble would pass on."""

import json
import random
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

from reliability.findings import Findings, judge_answer, new_mark

_TIMEOUT_SECONDS = 30
_VOCABULARY = 30_522  # of all-MiniLM-L6-v2
_MOST_TEXTS = 128
_WIDTH = 384

# Triton answers with 500 where its own reader of JSON does not take a tensor, before any step of ours sees it.
_PARSER_REFUSES = b"Unable to parse"

Tensor = dict[str, Any]


def tensor(name: str, shape: list[int], data: list[Any], datatype: str = "INT64") -> Tensor:
    """A tensor in the JSON of the KServe protocol."""
    return {"name": name, "shape": shape, "datatype": datatype, "data": data}


def tokens(ids: list[int], mask: list[int], rows: int = 1, datatype: str = "INT64") -> list[Tensor]:
    """The encoder's inputs; `ids` and `mask` are of all rows together."""
    return [
        tensor("input_ids", [rows, len(ids) // rows], ids, datatype),
        tensor("attention_mask", [rows, len(mask) // rows], mask, datatype),
    ]


def bad_requests(chance: random.Random) -> Iterator[tuple[str, str, list[Tensor]]]:
    """What it is, the model and its inputs: one of each kind, with other numbers each time."""
    length, row = chance.choice([1, 7, 16, 40]), chance.choice([1, 2, 5])
    good = [101, *(chance.randrange(_VOCABULARY) for _ in range(length)), 102]
    ones = [1] * len(good)
    far = chance.choice([_VOCABULARY, _VOCABULARY + 1, 10**9, 2**63 - 1])
    yield "negative ids", "encoder", tokens([101, -chance.choice([1, 2, 2**31, 2**63]), 102], [1, 1, 1])
    yield "ids past the vocabulary", "encoder", tokens([101, far, 102], [1, 1, 1])
    yield "a mask of zeros", "encoder", tokens(good, [0] * len(good))
    yield "masks of zeros in some rows", "encoder", tokens(good * row, (ones * (row - 1)) + [0] * len(good), row)
    yield "a mask of other numbers", "encoder", tokens(good, [chance.choice([-1, 2, 7, 2**40]) for _ in good])
    yield "a mask with gaps", "encoder", tokens(good, [chance.randrange(2) for _ in good])
    yield "a mask of another length", "encoder", tokens(good, [1] * (len(good) + 1))
    yield "no texts", "encoder", tokens([], [], 1)
    yield "no rows", "encoder", [tensor("input_ids", [0, 16], []), tensor("attention_mask", [0, 16], [])]
    yield "longer than the positions", "encoder", tokens([101] * 600, [1] * 600)
    yield "too many rows", "encoder", tokens([101, 102] * 200, [1] * 400, 200)
    yield "wrong type", "encoder", tokens(good, ones, 1, chance.choice(["INT32", "FP32", "UINT8", "BOOL"]))
    yield "one dimension", "encoder", [tensor("input_ids", [3], [1, 2, 3]), tensor("attention_mask", [3], [1] * 3)]
    yield "three dimensions", "encoder", [tensor(name, [1, 1, 1], [1]) for name in ("input_ids", "attention_mask")]
    yield (
        "data shorter than the shape",
        "encoder",
        [tensor("input_ids", [1, 9], [1]), tensor("attention_mask", [1, 9], [1])],
    )
    yield "an input missing", "encoder", tokens(good, ones)[:1]
    yield "an input of another name", "encoder", [*tokens(good, ones), tensor("ids", [1, 1], [1])]
    yield "text that is a number", "tokenizer", [tensor("text", [1, 1], [chance.randrange(99)], "INT64")]
    yield "no texts", "tokenizer", [tensor("text", [0, 1], [], "BYTES")]
    yield "two texts in a row", "tokenizer", [tensor("text", [1, 2], ["a", "b"], "BYTES")]
    yield "a long text", "tokenizer", [tensor("text", [1, 1], ["갈비 " * chance.randrange(1, 50_000)], "BYTES")]
    yield "no texts", "sentence_embedding", [tensor("text", [0, 1], [], "BYTES")]
    yield "too many texts", "sentence_embedding", [tensor("text", [_MOST_TEXTS + 1, 1], ["a"] * 129, "BYTES")]
    yield "a text of nothing", "sentence_embedding", [tensor("text", [1, 1], [""], "BYTES")]
    yield "wrong type", "sentence_embedding", [tensor("text", [1, 1], [1.5], "FP32")]
    embeddings = tensor(
        "token_embeddings", [row, 2, _WIDTH], [chance.uniform(-9, 9) for _ in range(row * 2 * _WIDTH)], "FP32"
    )
    yield "a mask of zeros", "pooling", [embeddings, tensor("attention_mask", [row, 2], [0, 0] * row)]
    yield "a mask of another length", "pooling", [embeddings, tensor("attention_mask", [row, 5], [1] * 5 * row)]
    yield (
        "no tokens",
        "pooling",
        [
            tensor("token_embeddings", [1, 0, _WIDTH], [], "FP32"),
            tensor("attention_mask", [1, 0], []),
        ],
    )
    yield (
        "wrong type",
        "pooling",
        [{**embeddings, "datatype": "FP64"}, tensor("attention_mask", [row, 2], [1, 1] * row)],
    )


def try_triton(port: int, rounds: int, seed: int) -> list[Findings]:
    """Every kind, so many times; each with a mark as its request's id."""
    chance = random.Random(seed)
    found: dict[str, Findings] = {}
    for _ in range(rounds):
        for kind, model, inputs in bad_requests(chance):
            name = f"Triton's {model}: {kind}"
            status, violation = _send(port, model, inputs, name)
            found.setdefault(name, Findings(name)).add(status, violation)
    return list(found.values())


def _send(port: int, model: str, inputs: list[Tensor], about: str) -> tuple[str, str]:
    mark = new_mark()
    body = json.dumps({"id": mark, "inputs": inputs}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v2/models/{model}/infer", body)
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:
            status, content = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            status, content = error.code, error.read()
    except OSError as error:
        return "no answer", f"{about}: {type(error).__name__}: {error}"
    if status == 500 and _PARSER_REFUSES in content:
        return "500 by Triton's parser", ""
    return str(status), judge_answer(status, content, mark, about)

"""Requests that are not valid: 422 and FastAPI's list of what is wrong, whatever comes in."""

import json
from typing import Any

import httpx
import pytest

from tests.contract.requests import BATCH, EMBED, assert_invalid, post_raw


@pytest.mark.parametrize(
    ("path", "body", "kind", "loc"),
    [
        (EMBED, {}, "missing", ["body", "text"]),
        (EMBED, {"texts": ["a"]}, "missing", ["body", "text"]),
        (EMBED, {"text": ""}, "string_too_short", ["body", "text"]),
        (EMBED, {"text": "가" * 1001}, "string_too_long", ["body", "text"]),
        (EMBED, {"text": " " * 1001}, "string_too_long", ["body", "text"]),
        (EMBED, {"text": None}, "string_type", ["body", "text"]),
        (EMBED, {"text": 5}, "string_type", ["body", "text"]),
        (EMBED, {"text": True}, "string_type", ["body", "text"]),
        (EMBED, {"text": ["a"]}, "string_type", ["body", "text"]),
        (EMBED, {"text": {"a": 1}}, "string_type", ["body", "text"]),
        (EMBED, {"text": "a", "normalize": 2}, "bool_parsing", ["body", "normalize"]),
        (EMBED, {"text": "a", "normalize": "maybe"}, "bool_parsing", ["body", "normalize"]),
        (EMBED, {"text": "a", "normalize": None}, "bool_type", ["body", "normalize"]),
        (EMBED, {"text": "a", "normalize": []}, "bool_type", ["body", "normalize"]),
        (EMBED, [], "model_attributes_type", ["body"]),
        (EMBED, "a", "model_attributes_type", ["body"]),
        (EMBED, None, "missing", ["body"]),
        (BATCH, {}, "missing", ["body", "texts"]),
        (BATCH, {"texts": []}, "too_short", ["body", "texts"]),
        (BATCH, {"texts": ["a"] * 101}, "too_long", ["body", "texts"]),
        (BATCH, {"texts": [1] * 101}, "too_long", ["body", "texts"]),
        (BATCH, {"texts": "a"}, "list_type", ["body", "texts"]),
        (BATCH, {"texts": {"0": "a"}}, "list_type", ["body", "texts"]),
        (BATCH, {"texts": ["a", 5]}, "string_type", ["body", "texts", 1]),
        (BATCH, {"texts": ["a", None]}, "string_type", ["body", "texts", 1]),
        (BATCH, {"texts": [["a"]]}, "string_type", ["body", "texts", 0]),
        (BATCH, {"texts": ["a"], "normalize": 2}, "bool_parsing", ["body", "normalize"]),
    ],
)
def test_bodies_that_are_not_valid(path: str, body: Any, kind: str, loc: list[Any], client: httpx.Client) -> None:
    assert_invalid(client.post(path, json=body), kind, loc)


def test_no_body(client: httpx.Client) -> None:
    assert_invalid(client.post(EMBED), "missing", ["body"])


@pytest.mark.parametrize(
    "content", [b"{", b"text", b'{"text": "a"', b"{\"text\": 'a'}", b'{"text": "a"} b', b'{"text": "\n"}']
)
def test_broken_json(content: bytes, client: httpx.Client) -> None:
    assert_invalid(post_raw(client, EMBED, content))
    assert post_raw(client, EMBED, content).json()["detail"][0]["type"] == "json_invalid"


@pytest.mark.parametrize("content", [b'{"text": "a"}', b"text=a", b"\xff\xfe"])
@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "application/octet-stream"]
)
def test_a_wrong_content_type(content: bytes, content_type: str, client: httpx.Client) -> None:
    assert_invalid(post_raw(client, EMBED, content, content_type), "model_attributes_type", ["body"])


@pytest.mark.parametrize(
    ("path", "content"),
    [
        (EMBED, b'{"text": "\\ud800"}'),
        (EMBED, b'{"text": "a\\udfffb"}'),
        (EMBED, b'{"text": "\xed\xa0\x80"}'),
        (EMBED, b'{"text": 1, "other": "\\ud800"}'),
        (EMBED, b'{"\\ud800": "a"}'),
        (EMBED, b'{"text": "a", "normalize": "\\ud800"}'),
        (BATCH, b'{"texts": ["a", "\\ud800"]}'),
    ],
)
def test_lone_surrogates(path: str, content: bytes, client: httpx.Client) -> None:
    assert_invalid(post_raw(client, path, content))


@pytest.mark.parametrize("depth", [200, 300, 500, 900, 1_500, 10_000, 1_000_000])
@pytest.mark.parametrize("template", [b"%s", b'{"text": %s}', b'{"texts": [%s]}'])
def test_deep_nesting(depth: int, template: bytes, client: httpx.Client) -> None:
    assert_invalid(post_raw(client, EMBED, template % (b"[" * depth + b"]" * depth)))


def test_numbers_that_json_cannot_hold(client: httpx.Client) -> None:
    assert_invalid(post_raw(client, EMBED, b'{"text": NaN}'), "string_type", ["body", "text"])
    assert_invalid(post_raw(client, EMBED, b'{"text": 1' + b"0" * 400 + b"}"), "string_type", ["body", "text"])


def test_a_long_input_is_not_sent_back(client: httpx.Client) -> None:
    answer = post_raw(client, BATCH, json.dumps({"texts": [1] * 1_000_000}).encode())
    assert_invalid(answer, "too_long", ["body", "texts"])
    assert len(answer.content) < 1000


def test_a_short_input_is_sent_back(client: httpx.Client) -> None:
    (error,) = client.post(EMBED, json={"text": 5}).json()["detail"]
    assert error["input"] == 5


def test_a_body_that_is_not_utf_8(client: httpx.Client) -> None:
    answer = post_raw(client, EMBED, b'{"text": "\xff"}')
    assert answer.status_code == 400  # FastAPI's own, and so the original's
    assert isinstance(answer.json()["detail"], str)


def test_unknown_routes_and_methods(client: httpx.Client) -> None:
    assert (client.get("/nothing").status_code, client.get("/nothing").json()) == (404, {"detail": "Not Found"})
    answer = client.get(EMBED)
    assert (answer.status_code, answer.json()) == (405, {"detail": "Method Not Allowed"})

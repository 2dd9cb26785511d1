"""JSON bodies for FastAPI that take little memory, whatever they are made of.

A body of 20 MB may be six million empty lists, which are 600 MB of Python. So the values of a large body are counted
first. What has more of them than any request needs is read without making them: objects that say in a value's place
that it was left out lead FastAPI to the answer that the body itself would get.
"""

import json
import re
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import numpy as np
from fastapi import Request, Response
from fastapi.routing import APIRoute

from proxy.contract import MAX_INPUTS, MAX_TOKEN_IDS

# Values of one body that are made: the most token ids that a request may have, and some for all else.
_MAX_VALUES = MAX_TOKEN_IDS + 10_000

_BLOCK_BYTES = 64 * 1024
_BEFORE_VALUES = (b",", b"[", b"{", b":")
_EMPTY = re.compile(rb"\s*\[\s*\]")

Raw = msgspec.Raw | msgspec.UnsetType


class LeftOut:
    """In place of a JSON value that was not made. It has no text, so that no answer repeats it."""

    def __str__(self) -> str:
        raise TypeError("it was left out")


LEFT_OUT = LeftOut()


class _Fields(msgspec.Struct):
    """Every field that some route takes, as its bytes; all others are passed over."""

    text: Raw = msgspec.UNSET
    texts: Raw = msgspec.UNSET
    query: Raw = msgspec.UNSET
    input: Raw = msgspec.UNSET
    model: Raw = msgspec.UNSET
    normalize: Raw = msgspec.UNSET
    truncate: Raw = msgspec.UNSET
    return_tokens: Raw = msgspec.UNSET
    special_tokens: Raw = msgspec.UNSET
    encoding_format: Raw = msgspec.UNSET
    dimensions: Raw = msgspec.UNSET


class BoundedRequest(Request):
    """A request whose JSON is read with `read_json`."""

    async def json(self) -> Any:
        """The body's value."""
        if not hasattr(self, "_json"):
            self._json = read_json(await self.body())
        return self._json


class BoundedRoute(APIRoute):
    """A route that gives FastAPI a `BoundedRequest`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The route's own handler, for such requests."""
        handle = super().get_route_handler()

        async def handle_bounded(request: Request) -> Response:
            return await handle(BoundedRequest(request.scope, request.receive))

        return handle_bounded


def read_json(body: bytes) -> Any:
    """The body's value as `json.loads` has it, with values left out where there are more than any request needs.

    Raises as `json.loads` does, of a body with so many values for more of them: `NaN`, a lone surrogate, UTF-16.
    """
    if sum(map(body.count, _BEFORE_VALUES)) < _MAX_VALUES or count_values(body)[0] <= _MAX_VALUES:
        return json.loads(body)
    try:
        fields = msgspec.json.decode(body, type=_Fields)
    except msgspec.ValidationError:  # no object
        return [LEFT_OUT]
    except msgspec.DecodeError as error:
        raise json.JSONDecodeError(str(error), "", 0) from error
    found: dict[str, Any] = {"": LEFT_OUT}  # a field that no route has, so that the body is not repeated
    left = _MAX_VALUES
    for name in fields.__struct_fields__:
        if (raw := getattr(fields, name)) is not msgspec.UNSET:
            found[name], made = _read_field(bytes(raw), left)
            left -= made
    return found


def _read_field(raw: bytes, most: int) -> tuple[Any, int]:
    """A field's value and how many values were made for it: at most `most`, and the items of its list."""
    values, items = count_values(raw)
    if values <= most:
        return json.loads(raw), values
    if raw[:1] != b"[":
        return LEFT_OUT, 0
    if items <= MAX_INPUTS:
        return [_read_item(bytes(item)) for item in msgspec.json.decode(raw, type=list[msgspec.Raw])], items
    # Too many: an answer says how many, and OpenAI's route which kind the first one is of.
    first = raw[1:].lstrip(b" \t\r\n")[:1]
    stand_ins: list[Any] = [LEFT_OUT] * items
    stand_ins[0] = "" if first == b'"' else [LEFT_OUT] if first == b"[" else LEFT_OUT
    return stand_ins, 1


def _read_item(raw: bytes) -> Any:
    if raw[:1] == b"[":
        return [LEFT_OUT]
    return LEFT_OUT if raw[:1] == b"{" else json.loads(raw)


def count_values(document: bytes) -> tuple[int, int]:
    """How many values a JSON document has at most, keys counted, and how many items its outermost list.

    An empty list or object counts as two. Of what is not JSON, some numbers.

    >>> count_values(b'["a, [b]", {"c": [1, 2]}, []]'), count_values(b" [ ]"), count_values(b"[[1, 2]]")
    ((9, 3), (2, 0), (4, 1))
    """
    if b"\\" in document:
        document = document.replace(b"\\\\", b"").replace(b'\\"', b"")
    values, depth, in_string, separators = 1, 0, 0, 0
    for start in range(0, len(document), _BLOCK_BYTES):
        block = np.frombuffer(document, np.uint8, min(_BLOCK_BYTES, len(document) - start), start)
        quotes = block == ord('"')
        if in_string or quotes.any():
            inside = (np.add.accumulate(quotes, dtype=np.uint8) + in_string) & 1
            in_string = int(inside[-1])
            block = block * (1 - inside)
        opens, closes = (block | 0x20) == ord("{"), (block | 0x20) == ord("}")  # and [, ], which differ in that bit
        commas = block == ord(",")
        values += np.count_nonzero(opens) + np.count_nonzero(commas) + np.count_nonzero(block == ord(":"))
        deeper = np.add.accumulate(opens.view(np.int8) - closes.view(np.int8), dtype=np.int32)
        separators += np.count_nonzero(commas & (deeper == 1 - depth))
        depth += int(deeper[-1])
    return int(values), 0 if _EMPTY.match(document) else int(separators) + 1

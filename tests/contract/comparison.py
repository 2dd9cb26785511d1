"""One request to the reference and to the service, and what must be equal in the two answers."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import httpx
import numpy as np


class Sample(NamedTuple):
    """A request as it goes over the wire."""

    method: str
    path: str
    content: bytes = b""
    headers: Mapping[str, str] = {"Content-Type": "application/json"}


def json_sample(path: str, body: Any) -> Sample:
    """A POST of a JSON body; lone surrogates go out as escapes."""
    return Sample("POST", path, json.dumps(body).encode())


def compare(
    reference_client: httpx.Client, client: httpx.Client, sample: Sample, tolerance: float = 1e-6
) -> httpx.Response:
    """Fails unless the service answers as the reference does; gives the service's answer.

    `tolerance`: the largest difference of two components of a vector.
    """
    wanted, answer = (
        each.request(sample.method, sample.path, content=sample.content, headers=dict(sample.headers))
        for each in (reference_client, client)
    )
    assert answer.status_code == _status(wanted, sample), (sample, wanted.text[:500], answer.text[:500])
    assert answer.headers.get("content-type") == "application/json", answer.headers
    if answer.status_code == 200:
        _compare_answers(wanted.json(), answer.json(), tolerance)
    elif answer.status_code == 422:
        _compare_errors(wanted, answer)
    else:
        assert isinstance(answer.json()["detail"], str)
    return answer


def _status(wanted: httpx.Response, sample: Sample) -> int:
    """Bad input is 422, also where the reference breaks on it with a 500 or gives up on its depth with a 400."""
    if wanted.status_code == 500:
        return 422
    if wanted.status_code == 400:
        try:
            json.loads(sample.content)
        except RecursionError:
            return 422
        except ValueError:
            pass
    return wanted.status_code


def _compare_answers(wanted: dict[str, Any], answer: dict[str, Any], tolerance: float) -> None:
    assert wanted.keys() <= answer.keys()
    for name, value in wanted.items():
        assert type(answer[name]) is type(value), name
        if name in ("embedding", "embeddings"):
            ours, theirs = np.array(answer[name]), np.array(value)
            assert ours.shape == theirs.shape
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance)
        elif name != "version":
            assert answer[name] == value, name


def _compare_errors(wanted: httpx.Response, answer: httpx.Response) -> None:
    found = answer.json()["detail"]
    assert found
    for error in found:
        assert isinstance(error["type"], str)
        assert isinstance(error["loc"], list)
        assert isinstance(error["msg"], str)
    if wanted.status_code == 422:
        expected = [_essence(error) for error in wanted.json()["detail"]]
        # Of a list that is wrong elsewhere, the reference does not notice the items with lone surrogates.
        noticed = [
            _essence(error) for error in found if error["type"] != "string_unicode" or _essence(error) in expected
        ]
        assert noticed == expected


def _essence(error: dict[str, Any]) -> tuple[Any, ...]:
    return error["type"], error["loc"], error["msg"]

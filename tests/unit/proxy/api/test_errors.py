"""The drawing of the error hierarchy, and the table of statuses, hold every class there is."""

import json
import re
from http import HTTPStatus

import pytest
from starlette.requests import Request

import proxy.errors
from proxy.api.answers import STATUSES, answer_embedding_error
from proxy.errors import EmbeddingError


def every_error_class() -> list[type[EmbeddingError]]:
    def below(kind: type[EmbeddingError]) -> list[type[EmbeddingError]]:
        return [kind] + [found for child in kind.__subclasses__() for found in below(child)]

    return below(EmbeddingError)


def test_the_drawing_names_every_class_and_no_other() -> None:
    drawn = re.findall(r"^[│├└─ ]*([A-Z]\w+)", (proxy.errors.__doc__ or "").split("\n\n")[1], re.MULTILINE)
    assert sorted(drawn) == sorted(kind.__name__ for kind in every_error_class())


def test_every_class_has_a_status_of_its_own() -> None:
    assert set(STATUSES) == set(every_error_class())


@pytest.mark.parametrize("kind", every_error_class())
async def test_the_answer_to_every_class(kind: type[EmbeddingError]) -> None:
    request = Request({"type": "http", "headers": [], "method": "POST", "path": "/"})
    answer = await answer_embedding_error(request, kind("What failed."))
    detail = json.loads(bytes(answer.body))["detail"]
    assert answer.status_code == STATUSES[kind]
    assert request.state.failure == "What failed."
    if answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY:
        assert [(type(item["type"]), type(item["loc"]), item["msg"]) for item in detail] == [
            (str, list, "What failed.")
        ]
    else:
        assert detail == "What failed."
    assert ("retry-after" in answer.headers) == (answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE)


async def test_a_class_that_is_added_below_gets_the_status_of_the_one_above() -> None:
    class StillStarting(proxy.errors.EngineOverloaded):
        pass

    try:
        request = Request({"type": "http", "headers": [], "method": "POST", "path": "/"})
        answer = await answer_embedding_error(request, StillStarting("Not yet."))
        assert answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    finally:
        del StillStarting
        import gc

        gc.collect()  # or the tests above would find it among the subclasses

"""The OpenAPI schema, walked from end to end: every field, limit, error and header is described.

New routes and models are held to it as they come.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from proxy.app import create_app
from proxy.errors import EngineUnavailable
from proxy.settings import Settings
from tests.contract.requests import BATCH, EMBED, HEALTH
from tests.fakes.fake_embedder import FakeEmbedder

README = Path(__file__).resolve().parents[2].joinpath("README.md").read_text(encoding="utf-8")
LIMITS = ("minLength", "maxLength", "minItems", "maxItems", "minimum", "maximum")


@pytest.fixture(scope="module")
def app() -> FastAPI:
    """With keys and the cache, and so with everything that there is; not running."""
    return create_app(Settings.model_validate({"api_keys": "key"}))


@pytest.fixture(scope="module")
def schema(app: FastAPI) -> Any:
    return app.openapi()


def named_dicts(node: Any, key: str, where: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """What stands under `key` anywhere below, each with the way to it."""
    if isinstance(node, list):
        for index, value in enumerate(node):
            yield from named_dicts(value, key, f"{where}/{index}")
    elif isinstance(node, dict):
        for name, value in node.items():
            if name == key and isinstance(value, dict):
                yield from ((f"{where}/{key}/{name}", value) for name, value in value.items())
            yield from named_dicts(value, key, f"{where}/{name}")


def operations(schema: Any) -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": operation
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    }


def undescribed(things: Iterator[tuple[str, dict[str, Any]]]) -> list[str]:
    return [where for where, thing in things if not str(thing.get("description", "")).strip()]


def test_everything_is_described(schema: Any) -> None:
    missing = [place for key in ("schemas", "properties", "headers", "responses", "securitySchemes")
               for place in undescribed(named_dicts(schema, key))]  # fmt: skip
    parameters = {
        f"{name}/{parameter['name']}": parameter
        for name, operation in operations(schema).items()
        for parameter in operation.get("parameters", [])
    }
    assert missing + undescribed(iter(parameters.items())) == []


def test_every_property_has_an_example(schema: Any) -> None:
    models = schema["components"]["schemas"]
    missing = [where for where, value in named_dicts(models, "properties") if not value.get("examples")]
    # A list of models has the examples of these.
    assert missing == ["/HTTPValidationError/properties/detail"]


def test_every_limit_is_told_in_words(schema: Any) -> None:
    told = 0
    for where, value in named_dicts(schema, "properties"):
        for limit in set(LIMITS) & set(value):
            assert re.search(rf"\b{value[limit]}\b", value["description"]), f"{where}: {limit}"
            told += 1
    assert told >= 4


def test_every_operation_says_what_it_does_and_what_it_answers(schema: Any) -> None:
    tags = {tag["name"]: tag["description"] for tag in schema["tags"]}
    for name, operation in operations(schema).items():
        assert operation["description"].strip(), name
        # FastAPI makes a summary of the function's name where there is none.
        assert operation["summary"].lower().replace(" ", "_") not in operation["operationId"], name
        assert set(operation["tags"]) <= set(tags), name
        for status, response in operation["responses"].items():
            assert response["description"] not in ("Successful Response", "Validation Error"), f"{name} {status}"
            assert response["content"]["application/json"]["schema"], f"{name} {status}"
    assert all(tags.values())


def statuses_of_the_readme() -> set[str]:
    rows = README.partition("\n## Errors\n")[2].partition("\n## ")[0].splitlines()
    return {status for row in rows for status in re.findall(r"\b[45]\d\d\b", row.split("|")[1] if "|" in row else "")}


def test_every_status_of_the_readme_is_in_the_schema(schema: Any) -> None:
    readme = statuses_of_the_readme()
    assert {"400", "401", "404", "408", "413", "422", "431", "500", "503", "504"} <= readme
    for name, operation in operations(schema).items():
        told = {status for status in operation["responses"] if status[0] in "45"}
        assert told <= readme, name
        if "/v1/embeddings" in name:
            assert told == readme - {"422"}, name
        elif "requestBody" in operation:
            assert told == readme - {"404"}, name
        else:
            assert told >= readme - {"401", "404", "422", "504"}, name
        assert "Retry-After" in operation["responses"]["503"]["headers"], name
        assert "401" not in told or "WWW-Authenticate" in operation["responses"]["401"]["headers"], name


def test_examples_are_the_originals(schema: Any) -> None:
    """In its order, too; what it did not take is not in the body that a page fills in."""
    texts = ["갈비탕", "김치찌개", "된장찌개"]
    for path, model, original in (
        (EMBED, "EmbedRequest", {"text": "갈비탕", "normalize": True}),
        (BATCH, "EmbedBatchRequest", {"texts": texts, "normalize": True}),
    ):
        filled_in = schema["paths"][path]["post"]["requestBody"]["content"]["application/json"]["example"]
        fields = schema["components"]["schemas"][model]["properties"]
        examples = [(name, field["examples"][0]) for name, field in fields.items()]
        assert list(filled_in.items()) == list(original.items()) == examples[:2]


def test_the_description_tells_the_limits_of_the_settings() -> None:
    settings = {"max_body_mb": 7, "deadline_seconds": 2.5, "max_connections": 123}
    text = create_app(Settings.model_validate(settings), FakeEmbedder()).description
    assert all(part in text for part in ["1000 characters", "100 texts", "7 MiB", "2.5 s", "123 connections"])
    assert "none" in text.partition("**API keys.**")[2].splitlines()[0]


def test_every_header_of_an_answer_is_described(client: httpx.Client, embedder: FakeEmbedder, schema: Any) -> None:
    answers = [client.get(HEALTH, headers={"Origin": "https://a.example"}), client.post(EMBED, json={"text": "갈비탕"})]
    embedder.failure = EngineUnavailable("It is away.")
    answers.append(client.post(EMBED, json={"text": "갈비탕"}))
    told = schema["info"]["description"].lower() + " ".join(
        place.lower() for place, _ in named_dicts(schema["paths"], "headers")
    )
    common = {"date", "server", "content-length", "content-type"}
    headers = {name for answer in answers for name in answer.headers} - common
    assert {"retry-after", "cache-control"} <= headers
    assert [name for name in headers if name not in told] == []


def test_examples_of_errors_are_what_comes(client: httpx.Client, embedder: FakeEmbedder, schema: Any) -> None:
    responses = schema["paths"][BATCH]["post"]["responses"]

    def example(status: str) -> Any:
        return responses[status]["content"]["application/json"]["example"]

    large = client.post(BATCH, content=b" " * (Settings().max_body_mb * 1024 * 1024 + 1))
    assert (large.status_code, large.json()) == (413, example("413"))
    garbled = client.post(BATCH, content=b'{"texts": ["\xff"]}', headers={"Content-Type": "application/json"})
    assert (garbled.status_code, garbled.json()) == (400, example("400"))
    embedder.failure = RuntimeError("unforeseen")
    failed = client.post(BATCH, json={"texts": ["a"]})
    assert (failed.status_code, failed.json()) == (500, example("500"))

"""Requests that schemathesis makes from the OpenAPI schema, those that fit it and those that do not, on every route."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode

from reliability.findings import Findings, judge_answer, new_mark

_AT_ONCE = 16  # requests of as many clients, so that their texts share calls to Triton
_TIMEOUT_SECONDS = 60
_TEXT_FIELDS = {"text", "texts", "input", "query"}  # a mark in `truncate` would make a body that fits one that does not


def try_json_bodies(url: str, examples: int, number: int) -> list[Findings]:
    """At most so many requests of each kind to each route; a route without parameters has only a few."""
    schema: Any = schemathesis.openapi.from_url(f"{url}/openapi.json")
    served = requests.get(f"{url}/v1/models", timeout=_TIMEOUT_SECONDS).json()["data"][0]["id"]
    return [
        _try(operation.ok(), mode, examples, number, served)
        for operation in schema.get_all_operations()
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
        if operation.ok().body or mode is GenerationMode.POSITIVE
    ]


def _try(operation: Any, mode: GenerationMode, examples: int, number: int, served: str) -> Findings:
    fits = mode is GenerationMode.POSITIVE
    label = f"{operation.method.upper()} {operation.path}"
    findings = Findings(f"{label}, {'by' if fits else 'against'} the schema")
    waiting: list[Any] = []

    with ThreadPoolExecutor(_AT_ONCE) as clients:

        def send() -> None:
            for answer, violation in clients.map(_sender(fits, label, served), waiting):
                findings.add(answer, violation)
            waiting.clear()

        @seed(number)
        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def collect(case: Any) -> None:
            waiting.append(case)
            if len(waiting) == _AT_ONCE:
                send()

        collect()
        send()
    return findings


def _sender(fits: bool, label: str, served: str) -> Callable[[Any], tuple[str, str]]:
    def send(case: Any) -> tuple[str, str]:
        mark = new_mark()
        case.body = marked(case.body, mark)
        if fits and isinstance(case.body, dict) and "model" in case.body:
            case.body["model"] = served  # with any other name nothing more is looked at
        try:
            answer = case.call(timeout=_TIMEOUT_SECONDS)
        except requests.RequestException as error:
            return "no answer", f"{label}: {type(error).__name__}"
        violation = judge_answer(answer.status_code, answer.content, mark, f"{label} {str(case.body)[:100]!r}")
        # A header that fits may still leave no time to look at the body.
        late = answer.status_code == HTTPStatus.GATEWAY_TIMEOUT and "x-request-timeout" in (case.headers or {})
        if not violation and not fits and answer.status_code >= 500 and not late:
            violation = f"{label}: {answer.status_code} to a body that does not fit"
        return str(answer.status_code), violation

    return send


def marked(body: Any, mark: str) -> Any:
    """The same body with a mark in each text, as long as the longest text that is taken.

    >>> marked({"text": "a", "texts": ["b", 1], "truncate": "left"}, "m")
    {'text': 'a m', 'texts': ['b m', 1], 'truncate': 'left'}
    """
    if isinstance(body, str):
        return f"{body[: 999 - len(mark)]} {mark}" if body else body
    if isinstance(body, list):
        return [marked(part, mark) for part in body]
    if isinstance(body, dict):
        return {name: marked(part, mark) if name in _TEXT_FIELDS else part for name, part in body.items()}
    return body

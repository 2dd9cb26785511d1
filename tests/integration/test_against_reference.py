"""The running service and a copy of the original one, around the same real model, get the same requests."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.comparison import Sample, compare, json_sample
from tests.contract.reference_app import reference_app
from tests.contract.serving import connect, serve
from tests.integration.conftest import Served
from tests.parity_texts import PARITY_TEXTS

TOLERANCE = 1e-5
EMBED, BATCH = "/api/v1/embed", "/api/v1/embed-batch"

any_text = (
    st.text(st.characters(codec=None, exclude_categories=()), max_size=60)
    | st.text(st.sampled_from("가나다라 김치찌개된장\n\t.,!?0189abcXYZ ’·①ﬁ🍲\u200b\x00\ud800"), max_size=200)
    | st.sampled_from(PARITY_TEXTS)
)
normalize: st.SearchStrategy[Any] = st.sampled_from([True, False, "true", "no", 1, 0, 2, None, "2", 1.5])
others = {"normalize": normalize, "unknown": st.integers() | st.lists(any_text, max_size=2)}
wrong = (
    st.none() | st.integers() | st.lists(st.integers(), max_size=2) | st.dictionaries(any_text, any_text, max_size=1)
)


@pytest.fixture(scope="module")
def pair(multilingual_model: Served) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    def encode(texts: Any, unit_length: bool) -> Any:
        return multilingual_model.original.encode(texts, normalize_embeddings=unit_length)

    app = reference_app(encode, "multilingual-e5-small", 384)
    with (
        serve(app) as address,
        connect(address) as reference,
        connect(multilingual_model.service.proxy) as service,
    ):
        yield reference, service


thorough = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@thorough
@given(body=st.fixed_dictionaries({"text": any_text | wrong}, optional=others))
def test_single_texts(pair: tuple[httpx.Client, httpx.Client], body: Any) -> None:
    compare(*pair, json_sample(EMBED, body), TOLERANCE)


@thorough
@given(body=st.fixed_dictionaries({"texts": st.lists(any_text | wrong, max_size=6) | wrong}, optional=others))
def test_batches(pair: tuple[httpx.Client, httpx.Client], body: Any) -> None:
    compare(*pair, json_sample(BATCH, body), TOLERANCE)


@thorough
@given(path=st.sampled_from([EMBED, BATCH]), content=st.binary(max_size=60))
def test_bytes_that_are_no_request(pair: tuple[httpx.Client, httpx.Client], path: str, content: bytes) -> None:
    compare(*pair, Sample("POST", path, content), TOLERANCE)


@pytest.mark.parametrize("path", ["/health", "/api/v1/model-info", "/nowhere", EMBED])
def test_other_routes(pair: tuple[httpx.Client, httpx.Client], path: str) -> None:
    compare(*pair, Sample("GET", path), TOLERANCE)

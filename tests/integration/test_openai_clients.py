"""OpenAI's clients against the real service: `openai` and `langchain-openai`, as installed."""

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import openai
import pytest
from langchain_openai import OpenAIEmbeddings
from pydantic import SecretStr

from tests.integration.conftest import Served
from tests.integration.test_parity import assert_equal, parity_texts

MODEL = "all-MiniLM-L6-v2"


@pytest.fixture(scope="module")
def client(real_model: Served) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{real_model.service.proxy}/v1", api_key="any", timeout=60, max_retries=0) as made:
        yield made


def vectors(answer: Any) -> list[list[float]]:
    assert [item.index for item in answer.data] == list(range(len(answer.data)))
    return [item.embedding for item in answer.data]


def test_vectors_are_sentence_transformers_own(client: openai.OpenAI, real_model: Served) -> None:
    texts = parity_texts(real_model)
    expected = real_model.original.encode(texts, batch_size=1, normalize_embeddings=True)
    by_default = client.embeddings.create(input=texts, model=MODEL)  # the package asks for base64
    assert_equal(vectors(by_default), expected, texts)
    as_floats = client.embeddings.create(input=texts, model=f"sentence-transformers/{MODEL}", encoding_format="float")
    np.testing.assert_allclose(vectors(as_floats), vectors(by_default), atol=1e-6)
    tokenized = real_model.original.tokenizer(texts, truncation=True, max_length=real_model.original.max_seq_length)
    assert by_default.usage.prompt_tokens == sum(map(len, tokenized["input_ids"]))
    assert by_default.model == MODEL


def test_250_texts_keep_their_order(client: openai.OpenAI, real_model: Served) -> None:
    texts = [f"recipe {'with a long name ' * (place % 5)}{place}" for place in range(250)]
    found = vectors(client.embeddings.create(input=texts, model=MODEL))
    assert_equal(found, real_model.original.encode(texts, normalize_embeddings=True), texts)


def test_dimensions(client: openai.OpenAI, real_model: Served) -> None:
    found = vectors(client.embeddings.create(input=["a recipe", "갈비탕"], model=MODEL, dimensions=64))
    short = real_model.original.encode(["a recipe", "갈비탕"], normalize_embeddings=True)[:, :64]
    assert_equal(found, short / np.linalg.norm(short, axis=1, keepdims=True), ["a recipe", "갈비탕"])


def test_token_ids_give_the_vector_of_their_text(client: openai.OpenAI, real_model: Served) -> None:
    texts = ["a recipe for galbitang", "x", "갈비탕 끓이는 법", "stew [SEP] soup", "word " * 400]
    answer = httpx.post(f"{real_model.service.proxy}/api/v1/tokenize", json={"texts": texts}).json()
    tokenizer = real_model.original.tokenizer
    assert answer["ids"] == [ids[:254] for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]]
    assert answer["tokens"] == [len(ids) for ids in tokenizer(texts)["input_ids"]]
    assert answer["truncated"] == [False, False, False, False, True]
    by_text = vectors(client.embeddings.create(input=texts, model=MODEL))
    by_ids = vectors(client.embeddings.create(input=answer["ids"], model=MODEL))
    assert_equal(by_ids, by_text, texts)
    (one,) = vectors(client.embeddings.create(input=answer["ids"][0], model=MODEL))
    assert_equal([one], by_text[:1], texts[:1])


def test_token_ids_out_of_the_vocabulary(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match=r"input\[120\]: .*vocabulary") as refused:
        client.embeddings.create(input=[[2000]] * 120 + [[30522]] + [[2001]] * 9, model=MODEL)
    assert refused.value.param == "input"


def test_the_left_side_and_what_is_too_long(client: openai.OpenAI, real_model: Served) -> None:
    text = "first " + "middle " * 300 + "last"
    (left,) = vectors(client.embeddings.create(input=text, model=MODEL, extra_body={"truncate": "left"}))
    side = real_model.original.tokenizer.truncation_side
    real_model.original.tokenizer.truncation_side = "left"
    try:
        expected = real_model.original.encode([text], normalize_embeddings=True)
    finally:
        real_model.original.tokenizer.truncation_side = side
    assert_equal([left], expected, [text])
    with pytest.raises(openai.BadRequestError, match=r"at most 256 tokens .* and has 304") as refused:
        client.embeddings.create(input=["a", text], model=MODEL, extra_body={"truncate": "error"})
    assert refused.value.code == "context_length_exceeded"


def test_errors(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match=MODEL):
        client.embeddings.create(input="a", model="text-embedding-3-small")
    with pytest.raises(openai.BadRequestError, match="empty"):
        client.embeddings.create(input="", model=MODEL)
    with pytest.raises(openai.BadRequestError, match="from 1 to 384"):
        client.embeddings.create(input="a", model=MODEL, dimensions=385)


def test_models(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == [MODEL]


def test_the_asynchronous_client(real_model: Served) -> None:
    texts = [f"text {place}" for place in range(8)]

    async def ask_all() -> list[list[float]]:
        url = f"{real_model.service.proxy}/v1"
        async with openai.AsyncOpenAI(base_url=url, api_key="any", timeout=60) as client:
            answers = await asyncio.gather(*(client.embeddings.create(input=text, model=MODEL) for text in texts))
        return [vectors(answer)[0] for answer in answers]

    assert_equal(asyncio.run(ask_all()), real_model.original.encode(texts, normalize_embeddings=True), texts)


def test_langchain(real_model: Served) -> None:
    texts = [f"recipe {place}" for place in range(120)]

    async def ask_all() -> tuple[list[list[float]], list[float], list[list[float]]]:
        with httpx.Client() as http:
            async with httpx.AsyncClient() as asynchronous:
                embeddings = OpenAIEmbeddings(
                    model=MODEL,
                    base_url=f"{real_model.service.proxy}/v1",
                    api_key=SecretStr("any"),
                    check_embedding_ctx_length=False,  # else it sends token ids of OpenAI's vocabulary
                    http_client=http,
                    http_async_client=asynchronous,
                )
                documents = embeddings.embed_documents(texts)
                return documents, embeddings.embed_query("갈비탕"), await embeddings.aembed_documents(texts[:3])

    documents, query, some = asyncio.run(ask_all())
    expected = real_model.original.encode(["갈비탕", *texts])
    assert_equal([query, *documents], expected, ["갈비탕", *texts])
    assert_equal(some, expected[1:4], texts[:3])


def test_similarity_is_sentence_transformers_own(real_model: Served) -> None:
    from sentence_transformers.util import cos_sim

    texts = ["a soup of beef ribs", "galbitang", "a bicycle", ""]
    answer = httpx.post(f"{real_model.service.proxy}/api/v1/similarity", json={"query": "galbitang", "texts": texts})
    encode = real_model.original.encode
    np.testing.assert_allclose(answer.json()["similarities"], cos_sim(encode("galbitang"), encode(texts))[0], atol=1e-5)

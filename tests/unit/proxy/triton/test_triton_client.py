"""Triton over the wire: what goes out, what comes back, and every way in which that fails."""

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest
from aiohttp import web

from proxy.errors import (
    EmbeddingError,
    EngineFailed,
    EngineOverloaded,
    EngineUnavailable,
    InvalidText,
)
from proxy.triton.client import TritonClient
from proxy.triton.connections import Span
from tests.fakes.fake_triton import (
    FakeTriton,
    Handler,
    encode_answer,
    fake_vector,
    half_an_answer,
    never,
    refuse_with,
    reset,
)

LONG = 30  # seconds: more than any of these takes


@pytest.fixture
async def client(triton: FakeTriton) -> AsyncIterator[TritonClient]:
    made = TritonClient(triton.url)
    await made.open()
    yield made
    await made.close()


async def test_texts_go_out_as_utf_8_and_vectors_come_back(triton: FakeTriton, client: TritonClient) -> None:
    texts = ["갈비탕", "", "a\0b", "👩‍🍳", "x" * 100_000]
    vectors = (await client.infer(texts, "embedding")).value.vectors
    assert triton.inferences == [texts]
    np.testing.assert_array_equal(vectors, np.stack([fake_vector(text, False) for text in texts]))
    assert vectors.dtype == np.float32


async def test_only_what_differs_from_the_default_is_a_parameter(triton: FakeTriton, client: TritonClient) -> None:
    await client.infer(["a"], "embedding")
    await client.infer(["a"], "embedding", "left")
    await client.infer([(5, 6), ()], "embedding")
    assert triton.parameters == [{}, {"truncation_side": "left"}, {"text_format": "token_ids"}]
    assert triton.inferences[2] == ["[5,6]", "[]"]


async def test_tokens_come_from_the_tokenizer(triton: FakeTriton, client: TritonClient) -> None:
    tokenized = (await client.tokenize(["ab", ""], "left", special_tokens=True)).value
    assert triton.parameters == [{"truncation_side": "left", "special_tokens": True}]
    assert tokenized.input_ids[:, :5].tolist() == [[0, 100, 100, 2, 0], [0, 2, 0, 0, 0]]
    assert tokenized.attention_mask.sum(1).tolist() == [4, 2]
    assert tokenized.token_counts.tolist() == [[4], [2]]


@pytest.mark.parametrize(
    ("message", "words", "text"),
    [
        ("text 1 is not valid token ids: the vocabulary has no 9", "token ids", (9,)),
        ("text 0 is not valid UTF-8 (byte 0)", "not valid", (5,)),
        ("text 7 is not valid UTF-8 (byte 0)", "not valid", None),
    ],
)
async def test_which_text_was_refused_is_known(
    message: str, words: str, text: object, triton: FakeTriton, client: TritonClient
) -> None:
    triton.infer_with = refuse_with(400, f"in ensemble 'sentence_embedding', {message}")
    with pytest.raises(InvalidText, match=words) as refused:
        await client.infer([(5,), (9,)], "embedding")
    assert refused.value.text == text


async def test_the_connection_is_kept(client: TritonClient) -> None:
    assert {(await client.infer(["a"], "embedding")).span for _ in range(3)} == {Span(1, 1)}


async def test_each_answer_knows_its_connection(triton: FakeTriton, client: TritonClient) -> None:
    alone = (await client.config("1")).span
    spans = [reply.span for reply in await asyncio.gather(client.config("1"), client.config("1"))]
    assert sorted(span.first for span in spans) == [1, 2]
    assert spans[0].same_process(spans[1])
    assert alone.same_process(Span(1, 2))
    assert not alone.same_process(Span(2, 2))  # nothing says that the first was still open
    await triton.restart("fake-model")
    after = (await client.config("1")).span
    assert after == Span(3, 3)
    assert not any(after.same_process(span) for span in [alone, *spans])


# What the wire does.


@pytest.mark.parametrize(
    ("handler", "kind"),
    [
        (reset, EngineUnavailable),
        (half_an_answer, EngineUnavailable),
        (refuse_with(400, "in ensemble 'sentence_embedding', text 3 is not valid UTF-8 (byte 0)"), InvalidText),
        (refuse_with(503, "in ensemble 'sentence_embedding', Exceeds maximum queue size"), EngineOverloaded),
        (refuse_with(500, "Stub process 'tokenizer_0_0' is not healthy."), EngineUnavailable),
        (refuse_with(500, "in ensemble 'sentence_embedding', it broke"), EngineFailed),
    ],
)
async def test_a_failure_on_the_wire(
    handler: Handler, kind: type[EmbeddingError], triton: FakeTriton, client: TritonClient
) -> None:
    triton.infer_with = handler
    for _ in range(2):  # over a new connection and over a kept one
        with pytest.raises(EmbeddingError) as raised:
            await asyncio.wait_for(client.infer(["secret"], "embedding"), LONG)
        assert type(raised.value) is kind
        assert "secret" not in str(raised.value)
        triton.infer_with = None
        await client.infer(["a"], "embedding")
        triton.infer_with = handler


async def test_nobody_listens(triton: FakeTriton, client: TritonClient) -> None:
    await triton.stop()
    with pytest.raises(EngineUnavailable):
        await asyncio.wait_for(client.infer(["a"], "embedding"), LONG)


async def test_a_kept_connection_that_was_closed_meanwhile_is_replaced(
    triton: FakeTriton, client: TritonClient
) -> None:
    await client.infer(["a"], "embedding")
    calls = 0

    async def reset_once(request: web.Request) -> web.StreamResponse:
        nonlocal calls
        calls += 1
        if calls == 1:
            return await reset(request)
        return encode_answer("embedding", np.stack([fake_vector("b", False)]))

    triton.infer_with = reset_once
    np.testing.assert_array_equal((await client.infer(["b"], "embedding")).value.vectors[0], fake_vector("b", False))
    assert calls == 2


async def test_it_is_tried_again_once_and_on_a_kept_connection_alone(triton: FakeTriton, client: TritonClient) -> None:
    triton.infer_with = reset
    with pytest.raises(EngineUnavailable):
        await client.infer(["over a new connection"], "embedding")
    assert len(triton.inferences) == 1
    triton.infer_with = None
    await client.infer(["keeps it"], "embedding")
    triton.infer_with = reset
    with pytest.raises(EngineUnavailable):
        await client.infer(["over a kept one"], "embedding")
    assert len(triton.inferences) == 2 + 2


async def test_a_half_answer_is_not_asked_for_again(triton: FakeTriton, client: TritonClient) -> None:
    await client.infer(["keeps it"], "embedding")
    triton.infer_with = half_an_answer
    with pytest.raises(EngineUnavailable):
        await client.infer(["a"], "embedding")
    assert len(triton.inferences) == 2


async def test_a_request_that_is_given_up_does_not_spoil_the_next(triton: FakeTriton, client: TritonClient) -> None:
    triton.infer_with = never
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(client.infer(["a"], "embedding"), 0.05)
    triton.infer_with = None
    np.testing.assert_array_equal((await client.infer(["b"], "embedding")).value.vectors[0], fake_vector("b", False))


def answer_with(body: bytes, **headers: str) -> Handler:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(body=body, headers={name.replace("_", "-"): value for name, value in headers.items()})

    return answer


@pytest.mark.parametrize(
    "handler",
    [
        answer_with(b""),
        answer_with(b"<html>"),
        answer_with(b"[]"),
        answer_with(b"{}"),
        answer_with(b'{"outputs": [{}]}'),
        answer_with(b'{"outputs": []}', Inference_Header_Content_Length="15"),
        answer_with(b'{"outputs": 1}', Inference_Header_Content_Length="14"),
        answer_with(b"{}", Inference_Header_Content_Length="many"),
        answer_with(b'{"outputs": [{"name": "embedding", "datatype": "FP32", "shape": [1, 8]}]}'),
        answer_with(b'{"outputs": [{"name": "embedding", "shape": [1], "parameters": {"binary_data_size": 4}}]}'),
    ],
)
async def test_an_answer_that_makes_no_sense(handler: Handler, triton: FakeTriton, client: TritonClient) -> None:
    triton.infer_with = handler
    with pytest.raises(EngineFailed):
        await client.infer(["a"], "embedding")


async def test_an_answer_that_is_no_http() -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.6\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        client = TritonClient(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        await client.open()
        with pytest.raises(EngineFailed):
            await asyncio.wait_for(client.config("1"), LONG)
        await client.close()


async def test_a_configuration_that_is_no_json(triton: FakeTriton, client: TritonClient) -> None:
    triton.configure_with = answer_with(b"[" * 100_000)
    with pytest.raises(EngineFailed):
        await client.config("1")


async def test_before_it_is_opened_the_engine_is_unavailable() -> None:
    with pytest.raises(EngineUnavailable):
        await TritonClient("http://127.0.0.1:1").config("1")

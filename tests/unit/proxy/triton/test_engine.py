"""Whose vectors the embedder hands out, whatever Triton does meanwhile."""

import asyncio

import numpy as np
import pytest
from aiohttp import web
from numpy.typing import NDArray

from proxy.errors import DeadlineExceeded, EngineFailed, EngineUnavailable, UnexpectedModel
from proxy.triton.client import TritonClient
from proxy.triton.engine import TritonEmbedder
from tests.fakes.fake_triton import (
    DIMENSION,
    FakeTriton,
    canary_of,
    encode_answer,
    encode_tensors,
    fake_vector,
    model_config,
    never,
    refuse_with,
    reset,
)
from tests.waiting import until


def soon(seconds: float = 30) -> float:
    return asyncio.get_running_loop().time() + seconds


def assert_computed_by(name: str, vector: NDArray[np.float32], text: str) -> None:
    np.testing.assert_array_equal(vector, fake_vector(text, True, name))


@pytest.mark.parametrize("normalize", [True, False])
async def test_a_batch_is_one_request(normalize: bool, triton: FakeTriton, embedder: TritonEmbedder) -> None:
    texts = [f"text {i}" for i in range(100)]
    embeddings = await embedder.embed(texts, normalize, soon())
    assert triton.inferences == [texts]
    np.testing.assert_array_equal(embeddings.vectors, np.stack([fake_vector(text, normalize) for text in texts]))
    assert embeddings.model.name == "fake-model"


async def test_the_configuration_is_read_once(triton: FakeTriton, embedder: TritonEmbedder) -> None:
    for _ in range(10):
        await embedder.embed(["a"], True, soon())
    assert triton.config_reads == 1


async def test_many_at_once_share_the_reading(triton: FakeTriton, embedder: TritonEmbedder) -> None:
    many = 50
    await asyncio.gather(*(embedder.embed([f"text {i}"], True, soon()) for i in range(many)))
    assert len(triton.inferences) == many  # the model did not change: nothing was computed twice
    reads = triton.config_reads
    assert reads <= 5  # the first, and one or a few for the connections that were made meanwhile
    await embedder.embed(["a"], True, soon())
    assert triton.config_reads == reads


# Another model behind the same address.


async def test_after_a_restart_the_answer_names_the_new_model(triton: FakeTriton, embedder: TritonEmbedder) -> None:
    assert (await embedder.embed(["a"], True, soon())).model.name == "fake-model"
    await triton.restart("new-model")
    embeddings = await embedder.embed(["a"], True, soon())
    assert embeddings.model.name == "new-model"
    assert_computed_by("new-model", embeddings.vectors[0], "a")


async def test_a_restart_between_the_reading_and_the_inference(triton: FakeTriton, embedder: TritonEmbedder) -> None:
    calls = 0

    async def restart_meanwhile(request: web.Request) -> web.StreamResponse:
        nonlocal calls
        calls += 1
        if calls == 1:  # this process is replaced while the inference waits
            triton.config = model_config("new-model")
            return await reset(request)
        name = triton.config["parameters"]["model_name"]["string_value"]
        return encode_answer("normalized_embedding", np.stack([fake_vector("a", True, name)]))

    triton.infer_with = restart_meanwhile
    embeddings = await embedder.embed(["a"], True, soon())
    assert embeddings.model.name == "new-model"
    assert_computed_by("new-model", embeddings.vectors[0], "a")


@pytest.mark.parametrize("first", ["fake-model", "new-model"])
async def test_a_restart_between_the_inference_and_the_reading(
    first: str, triton: FakeTriton, embedder: TritonEmbedder
) -> None:
    """The vectors are one model's, and the configuration that is read for them is the next one's; also where that is
    the model which was known before."""
    await triton.restart(first)
    await embedder.embed(["a"], True, soon())
    await triton.restart("fake-model")  # a new connection: the configuration is to be read after the inference
    reads = 0

    async def replaced_meanwhile(request: web.Request) -> web.StreamResponse:
        nonlocal reads
        reads += 1
        if reads == 1:
            triton.config = model_config("new-model")
            return await reset(request)
        return web.json_response(triton.config)

    triton.configure_with = replaced_meanwhile
    embeddings = await embedder.embed(["a"], True, soon())
    assert embeddings.model.name == "new-model"
    assert_computed_by("new-model", embeddings.vectors[0], "a")


async def test_restarts_under_load_never_mix_models(triton: FakeTriton, embedder: TritonEmbedder) -> None:
    names = ["model-a", "model-b"]
    seen: set[str] = set()
    over = asyncio.Event()

    async def ask(who: int) -> None:
        count = 0
        while not over.is_set():
            count += 1
            text = f"text {who} {count}"
            try:
                embeddings = await embedder.embed([text], True, soon())
            except EngineUnavailable:
                await asyncio.sleep(0.001)
                continue
            assert_computed_by(embeddings.model.name, embeddings.vectors[0], text)
            seen.add(embeddings.model.name)

    clients = [asyncio.create_task(ask(who)) for who in range(8)]
    for restart in range(20):
        name = names[restart % 2]
        seen.discard(name)
        await triton.restart(name)
        while name not in seen:
            await asyncio.sleep(0.001)
            for client in clients:
                if client.done():
                    client.result()
    over.set()
    await asyncio.wait_for(asyncio.gather(*clients), 30)


async def test_connections_that_end_with_each_answer(triton: FakeTriton, embedder: TritonEmbedder) -> None:
    async def and_close(_: web.Request) -> web.StreamResponse:
        response = web.json_response(triton.config)
        response.force_close()
        return response

    async def compute_and_close(_: web.Request) -> web.StreamResponse:
        response = encode_answer("normalized_embedding", np.stack([fake_vector("a", True)]))
        response.force_close()
        return response

    triton.configure_with, triton.infer_with = and_close, compute_and_close
    for _ in range(3):
        assert (await embedder.embed(["a"], True, soon())).model.name == "fake-model"


async def test_a_model_that_never_stays_the_same(triton: FakeTriton, embedder: TritonEmbedder) -> None:
    async def another(_: web.Request) -> web.StreamResponse:
        response = web.json_response(model_config(f"model-{triton.config_reads}"))
        response.force_close()  # so each reading comes over a connection of its own
        return response

    async def and_close(_: web.Request) -> web.StreamResponse:
        response = encode_answer("normalized_embedding", np.stack([fake_vector("a", True)]))
        response.force_close()
        return response

    triton.configure_with, triton.infer_with = another, and_close
    with pytest.raises(EngineUnavailable):
        await embedder.embed(["a"], True, soon())
    assert len(triton.inferences) == 3


# Another version beside the first, in the same process.


@pytest.mark.parametrize("keep", [True, False])
async def test_another_version_is_named_with_its_first_vector(
    keep: bool, triton: FakeTriton, embedder: TritonEmbedder
) -> None:
    await embedder.embed(["a"], True, soon())
    triton.load("2", "new-model", keep)
    embeddings = await embedder.embed(["a"], True, soon())
    assert embeddings.model.name == "new-model"
    assert_computed_by("new-model", embeddings.vectors[0], "a")


async def test_a_late_answer_of_the_version_before_is_named_as_that(
    triton: FakeTriton, embedder: TritonEmbedder
) -> None:
    await embedder.embed(["a"], True, soon())
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def late(_: web.Request) -> web.StreamResponse:
        asked.set()
        await go_on.wait()
        return encode_answer("normalized_embedding", np.stack([fake_vector("late", True)]), version="1")

    triton.infer_with = late
    waiting = asyncio.create_task(embedder.embed(["late"], True, soon()))
    await asked.wait()
    triton.infer_with = None
    triton.load("2", "new-model", keep=False)
    assert (await embedder.embed(["a"], True, soon())).model.name == "new-model"
    go_on.set()
    embeddings = await waiting
    assert embeddings.model.name == "fake-model"
    assert_computed_by("fake-model", embeddings.vectors[0], "late")


async def test_a_version_that_went_before_it_was_known_is_asked_again(
    triton: FakeTriton, embedder: TritonEmbedder
) -> None:
    triton.load("2", "new-model", keep=False)
    calls = 0

    async def by_a_version_that_is_gone(_: web.Request) -> web.StreamResponse:
        nonlocal calls
        calls += 1
        triton.infer_with = None
        return encode_answer("normalized_embedding", np.stack([fake_vector("a", True)]), version="1")

    triton.infer_with = by_a_version_that_is_gone
    embeddings = await embedder.embed(["a"], True, soon())
    assert calls == 1
    assert_computed_by("new-model", embeddings.vectors[0], "a")


@pytest.mark.parametrize("counts", [np.zeros((1, 1), np.int64), np.zeros((2, 1), np.int32), np.zeros(1, np.int32)])
async def test_token_counts_of_another_shape(
    counts: NDArray[np.int32], triton: FakeTriton, embedder: TritonEmbedder
) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return encode_answer("normalized_embedding", np.stack([fake_vector("a", True)]), token_counts=counts)

    triton.infer_with = answer
    with pytest.raises(EngineFailed):
        await embedder.embed(["a"], True, soon())


# The model that is expected.


@pytest.fixture
async def picky(triton: FakeTriton) -> TritonEmbedder:
    return TritonEmbedder(TritonClient(triton.url), expected_model_name="wanted")


async def test_only_the_expected_model_embeds(triton: FakeTriton, picky: TritonEmbedder) -> None:
    await picky.open()
    for ask in (picky.embed(["a"], True, soon()), picky.check(soon())):
        with pytest.raises(UnexpectedModel, match=r"'fake-model'.*'wanted'"):
            await ask
    assert triton.inferences == []
    await triton.restart("wanted")
    assert (await picky.embed(["a"], True, soon())).model.name == "wanted"
    await triton.restart("another")
    with pytest.raises(UnexpectedModel):
        await picky.embed(["a"], True, soon())
    assert (await picky.model(soon())).name == "another"
    await picky.close()


# Answers that are not what the configuration promises.


@pytest.mark.parametrize(
    ("values", "datatype"),
    [
        (np.zeros((2, DIMENSION), np.float32), "FP32"),
        (np.zeros((1, DIMENSION + 1), np.float32), "FP32"),
        (np.zeros(DIMENSION, np.float32), "FP32"),
        (np.zeros((1, DIMENSION), np.float64), "FP64"),
        (np.full((1, DIMENSION), np.nan, np.float32), "FP32"),
        (np.full((1, DIMENSION), np.inf, np.float32), "FP32"),
        (np.zeros((0, DIMENSION), np.float32), "FP32"),
    ],
)
async def test_an_answer_of_another_shape(
    values: NDArray[np.float32], datatype: str, triton: FakeTriton, embedder: TritonEmbedder
) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return encode_answer("normalized_embedding", values, datatype)

    triton.infer_with = answer
    with pytest.raises(EngineFailed):
        await embedder.embed(["a"], True, soon())


# Time, and Triton's absence.


async def test_the_deadline(triton: FakeTriton, embedder: TritonEmbedder) -> None:
    await embedder.check(soon())
    triton.infer_with = never
    with pytest.raises(DeadlineExceeded):
        await embedder.embed(["a"], True, soon(0.05))
    triton.configure_with = never
    with pytest.raises(DeadlineExceeded):
        await embedder.model(soon(0.05))
    triton.infer_with = triton.configure_with = None
    await embedder.embed(["a"], True, soon())


async def test_waiting_for_anothers_reading_ends_at_ones_own_deadline(
    triton: FakeTriton, embedder: TritonEmbedder
) -> None:
    await embedder.check(soon())
    await triton.restart("fake-model")
    triton.configure_with = never
    patient = asyncio.create_task(embedder.embed(["a"], True, soon()))
    await until(lambda: triton.config_reads >= 2)
    with pytest.raises(DeadlineExceeded):
        await embedder.embed(["b"], True, soon(0.05))
    patient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await patient


async def test_triton_may_come_later_and_go_and_come_back(triton: FakeTriton, embedder: TritonEmbedder) -> None:
    await triton.stop()
    for _ in range(2):
        for ask in (embedder.embed(["a"], True, soon()), embedder.check(soon()), embedder.model(soon())):
            with pytest.raises(EngineUnavailable):
                await ask
        await triton.start()
        await embedder.embed(["a"], True, soon())
        await embedder.check(soon())
        await triton.stop()


async def test_a_check_asks_triton_every_time(triton: FakeTriton, embedder: TritonEmbedder) -> None:
    for _ in range(3):
        await embedder.check(soon())
    assert len(triton.inferences) == 3
    triton.infer_with = refuse_with(503, "not ready")
    with pytest.raises(EngineUnavailable):
        await embedder.check(soon())


# The canary.


async def test_a_check_asks_the_models_own_text_and_accepts_its_vector(
    triton: FakeTriton, embedder: TritonEmbedder
) -> None:
    triton.config = model_config(changes=canary_of(fake_vector("비교", True), "비교"))
    assert (await embedder.check(soon())).name == "fake-model"
    assert triton.inferences == [["비교"]]


async def test_another_vector_than_the_exports_fails_the_check_alone(
    triton: FakeTriton, embedder: TritonEmbedder
) -> None:
    triton.config = model_config(changes=canary_of(fake_vector("another text", True)))
    with pytest.raises(EngineFailed, match=r"another vector .* cosine is -?0\.\d+, and at least 0\.9999 is expected"):
        await embedder.check(soon())
    await embedder.embed(["a"], True, soon())


async def test_a_new_models_canary_is_compared_with_what_it_gives(triton: FakeTriton, embedder: TritonEmbedder) -> None:
    for name in ("one", "another"):
        await triton.restart(name)
        triton.config = model_config(name, changes=canary_of(fake_vector("비교", True, name), "비교"))
        assert (await embedder.check(soon())).name == name


# Token ids.


async def test_tokens_are_of_the_model_that_is_served(triton: FakeTriton, embedder: TritonEmbedder) -> None:
    tokens = await embedder.tokenize(["abc", ""], soon())
    assert [ids.tolist() for ids in tokens.ids] == [[100] * 3, []]
    assert tokens.token_counts.tolist() == [5, 2]
    assert (tokens.model.name, tokens.truncated.tolist()) == ("fake-model", [False, False])
    (whole,) = (await embedder.tokenize([(5,)], soon(), "left", special_tokens=True)).ids
    assert (whole[0], whole[-1]) == (0, 2)
    assert triton.parameters[-1] == {"truncation_side": "left", "text_format": "token_ids", "special_tokens": True}


async def test_tokens_of_a_model_that_is_replaced_meanwhile_are_asked_for_again(
    triton: FakeTriton, embedder: TritonEmbedder
) -> None:
    asked: list[str] = []

    async def replace(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        triton.config = model_config("another-model")
        return encode_tensors(
            [("input_ids", ids, "INT64"), ("attention_mask", ids, "INT64"), ("token_count", counts, "INT32")]
        )

    ids, counts = np.ones((1, 4), np.int64), np.full((1, 1), 6, np.int32)
    triton.tokenize_with = replace
    assert (await embedder.tokenize(["a"], soon())).model.name == "another-model"
    assert len(asked) == 2


async def test_tokens_that_are_not_as_promised(triton: FakeTriton, embedder: TritonEmbedder) -> None:
    ids, counts = np.zeros((1, 4), np.int64), np.ones((1, 1), np.int32)

    async def answer(_: web.Request) -> web.StreamResponse:
        return encode_tensors(
            [("input_ids", ids, "INT64"), ("attention_mask", ids[:, :2], "INT64"), ("token_count", counts, "INT32")]
        )

    triton.tokenize_with = answer
    with pytest.raises(EngineFailed):
        await embedder.tokenize(["a"], soon())

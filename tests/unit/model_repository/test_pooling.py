"""The pooling step against sentence-transformers' modules, and its adapter with a fake Triton."""

import doctest
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling

from tests.unit.model_repository.conftest import IDENTITY, FakeRequest, Load

TOLERANCE = 1e-6


def embeddings_and_mask(texts: int = 5, length: int = 9, width: int = 8) -> tuple[Any, Any]:
    generator = np.random.default_rng(7)
    lengths = generator.integers(1, length + 1, texts)
    mask = (np.arange(length) < lengths[:, None]).astype(np.int64)
    return generator.normal(size=(texts, length, width)).astype(np.float32) * 3, mask


def initialize(step: Any, folder: Path, normalizes: bool) -> None:
    """As Triton does with version 1, whose folder the export filled."""
    (folder / "1").mkdir()
    (folder / "1" / "pooling.json").write_text(json.dumps({"normalizes": normalizes}))
    (folder / "1" / "model_identity").write_text(IDENTITY)
    step.initialize({"model_repository": str(folder), "model_version": "1"})


def test_the_examples_in_the_docstrings(load: Load) -> None:
    assert doctest.testmod(load("pooling", "mean_pooling")).failed == 0


def test_equals_sentence_transformers(load: Load) -> None:
    mean_pooling = load("pooling", "mean_pooling")
    embeddings, mask = embeddings_and_mask()
    features = {"token_embeddings": torch.from_numpy(embeddings), "attention_mask": torch.from_numpy(mask)}
    expected = Pooling(8, "mean")(features)["sentence_embedding"]
    found = mean_pooling.mean_pool(embeddings, mask)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected.numpy(), atol=TOLERANCE)
    unit = Normalize()({"sentence_embedding": expected})["sentence_embedding"]
    np.testing.assert_allclose(mean_pooling.normalize(found), unit.numpy(), atol=TOLERANCE)


def test_an_empty_mask_and_a_zero_vector_stay_zero(load: Load) -> None:
    mean_pooling = load("pooling", "mean_pooling")
    embeddings, mask = embeddings_and_mask()
    mask[2] = 0
    mean = mean_pooling.mean_pool(embeddings, mask)
    assert not mean[2].any()
    assert not mean_pooling.normalize(mean)[2].any()


def test_a_mask_of_another_shape_fails_its_own_request_alone(load: Load, tmp_path: Path) -> None:
    step = load("pooling", "model").TritonPythonModel()
    initialize(step, tmp_path, normalizes=True)
    embeddings, mask = embeddings_and_mask()
    asked = ["embedding"]
    bad = FakeRequest(asked, token_embeddings=embeddings, attention_mask=mask[:, :-1])
    good = FakeRequest(asked, token_embeddings=embeddings, attention_mask=mask)
    refused, answered = step.execute([bad, good])
    assert "attention_mask" in refused.error().message()
    assert refused.error().code() == 3  # TritonError.INVALID_ARG of the fake
    assert answered.error() is None
    assert len(answered.output_tensors()) == 1


@pytest.mark.parametrize("normalizes", [True, False])
def test_the_adapter_gives_the_outputs_asked_for(load: Load, tmp_path: Path, normalizes: bool) -> None:
    step = load("pooling", "model").TritonPythonModel()
    initialize(step, tmp_path, normalizes)
    embeddings, mask = embeddings_and_mask()
    both = FakeRequest(["embedding", "normalized_embedding"], token_embeddings=embeddings, attention_mask=mask)
    one = FakeRequest(["embedding"], token_embeddings=embeddings[:1], attention_mask=mask[:1])
    first, second = (
        {tensor.name(): tensor.as_numpy() for tensor in response.output_tensors()}
        for response in step.execute([both, one])
    )
    assert sorted(first) == ["embedding", "normalized_embedding"]
    assert sorted(second) == ["embedding"]
    lengths = np.linalg.norm(first["embedding"], axis=1)
    assert np.allclose(lengths, 1) == normalizes
    np.testing.assert_allclose(np.linalg.norm(first["normalized_embedding"], axis=1), 1, atol=TOLERANCE)
    np.testing.assert_allclose(second["embedding"], first["embedding"][:1], atol=TOLERANCE)


def test_the_span_is_begin_and_end_of_the_step(load: Load, tmp_path: Path) -> None:
    step = load("pooling", "model").TritonPythonModel()
    initialize(step, tmp_path, normalizes=True)
    embeddings, mask = embeddings_and_mask()
    before = time.monotonic_ns()
    (response,) = step.execute([FakeRequest(["pooling_span"], token_embeddings=embeddings, attention_mask=mask)])
    (tensor,) = response.output_tensors()
    span = tensor.as_numpy()
    assert (span.dtype, span.shape) == (np.int64, (len(mask), 2))
    assert (span == span[0]).all()
    assert before <= span[0, 0] < span[0, 1] <= time.monotonic_ns()


def test_each_row_says_whose_it_is(load: Load, tmp_path: Path) -> None:
    step = load("pooling", "model").TritonPythonModel()
    initialize(step, tmp_path, normalizes=True)
    embeddings, mask = embeddings_and_mask()
    (response,) = step.execute([FakeRequest(["model_identity"], token_embeddings=embeddings, attention_mask=mask)])
    (tensor,) = response.output_tensors()
    identity = tensor.as_numpy()
    assert (identity.dtype, identity.shape) == (np.uint8, (len(mask), 16))
    assert {row.tobytes().hex() for row in identity} == {IDENTITY}


def test_an_output_of_a_later_configuration_is_left_out(load: Load, tmp_path: Path) -> None:
    step = load("pooling", "model").TritonPythonModel()
    initialize(step, tmp_path, normalizes=True)
    embeddings, mask = embeddings_and_mask()
    (response,) = step.execute([FakeRequest(["embedding", "later"], token_embeddings=embeddings, attention_mask=mask)])
    assert [tensor.name() for tensor in response.output_tensors()] == ["embedding"]

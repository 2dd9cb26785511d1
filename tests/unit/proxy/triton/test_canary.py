"""The canary of a model's configuration, and what it accepts."""

import numpy as np
import pytest

from proxy.errors import EngineFailed
from proxy.triton.canary import parse_canary
from proxy.triton.model import parse_model_config
from tests.fakes.fake_triton import DIMENSION, canary_of, fake_vector, model_config

VECTOR = fake_vector("a", True)


def test_it_accepts_its_vector_at_any_length_and_no_other() -> None:
    canary = parse_model_config(model_config(changes=canary_of(VECTOR))).canary
    assert canary is not None
    for accepted in (VECTOR, 3 * VECTOR, VECTOR + 1e-5):
        canary.compare(accepted.astype(np.float32))
    for refused in (-VECTOR, fake_vector("b", True), 0 * VECTOR, VECTOR + 0.1):
        with pytest.raises(EngineFailed, match="another vector"):
            canary.compare(refused.astype(np.float32))


def test_an_ensemble_made_by_hand_has_none() -> None:
    assert parse_model_config(model_config()).canary is None


@pytest.mark.parametrize(
    "change",
    [
        {"canary_text": ""},
        {"canary_embedding": ""},
        {"canary_embedding": "no base64!"},
        {"canary_embedding": "AAAA"},
        {"canary_minimum_cosine": ""},
        {"canary_minimum_cosine": "high"},
        {"canary_minimum_cosine": "nan"},
        {"canary_minimum_cosine": "1.1"},
        {"canary_minimum_cosine": "0"},
        canary_of(np.full(DIMENSION, np.nan)),
    ],
)
def test_one_that_makes_no_sense_is_refused(change: dict[str, str]) -> None:
    parameters = model_config(changes=canary_of(VECTOR) | change)["parameters"]
    with pytest.raises(EngineFailed, match="canary parameters"):
        parse_canary(parameters, DIMENSION)

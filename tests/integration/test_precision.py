"""The precisions that are faster than float32, against sentence-transformers on the parity texts."""

from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from bench.exported import ExportedSteps
from export.settings import Precision
from tests.integration.conftest import Served, export_here, running_service
from tests.parity_texts import KOREAN, OTHER_SCRIPTS, PARITY_TEXTS, texts_at_the_limit

# Of the default, as promised to users; and of int8, under the least that docs/benchmarks.md publishes of sentences.
MINIMUM_COSINE = {"float16": 0.99999, "int8": 0.97}
# Of a service that is told to take bfloat16 for float16, where the processor has it (`ENCODER_KERNEL=onednn`).
BFLOAT16_MINIMUM_COSINE = 0.9999


def texts_for(original: Any, precision: str) -> list[str]:
    """For int8 those of meaning: what 8 bits make of control characters is nobody's concern."""
    if precision == "int8":
        return KOREAN + OTHER_SCRIPTS
    return PARITY_TEXTS + texts_at_the_limit(original.tokenizer, original.max_seq_length)


def assert_close(found: Any, served: Served, texts: list[str], minimum: float) -> None:
    expected = served.original.encode(texts, batch_size=1, normalize_embeddings=True)
    cosines = (np.asarray(found) * expected).sum(1)
    worst = int(cosines.argmin())
    assert cosines[worst] >= minimum, f"{texts[worst][:40]!r}: cosine {cosines[worst]}"


@pytest.mark.parametrize(
    ("precision", "settings", "minimum"),
    [
        ("float16", {}, MINIMUM_COSINE["float16"]),
        ("int8", {}, MINIMUM_COSINE["int8"]),
        ("float16", {"ENCODER_KERNEL": "onednn"}, BFLOAT16_MINIMUM_COSINE),
    ],
    ids=["float16", "int8", "bfloat16"],
)
def test_the_service_is_close_to_the_original(
    multilingual_model: Served,
    multilingual_folder: Path,
    tmp_path: Path,
    precision: Precision,
    settings: dict[str, str],
    minimum: float,
) -> None:
    export_here(tmp_path, multilingual_folder, precision)  # unpacked already, as MODEL=package:... would have to
    texts = texts_for(multilingual_model.original, precision)
    with running_service(tmp_path, MODEL=str(multilingual_folder), PRECISION=precision, **settings) as service:
        answer = httpx.post(f"{service.proxy}/api/v1/embed-batch", json={"texts": texts}, timeout=60).json()
    assert answer["version"].endswith(f"-{precision}")
    assert_close(answer["embeddings"], multilingual_model, texts, minimum)


@pytest.mark.models
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize("model", ["real_model", "stand_in"])
@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_the_exported_steps_are_close_to_the_original(
    request: pytest.FixtureRequest, tmp_path: Path, model: str, precision: Precision
) -> None:
    served: Served = request.getfixturevalue(model)
    texts = texts_for(served.original, precision)
    export_here(tmp_path, served.model, precision)
    assert_close(ExportedSteps(tmp_path / "model_repository").embed(texts), served, texts, MINIMUM_COSINE[precision])

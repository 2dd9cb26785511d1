"""The precisions that are faster than float32, against sentence-transformers on the parity texts."""

from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.integration.conftest import MULTILINGUAL_MODEL, REAL_MODEL, load_sentence_transformer, running_service
from tests.parity_texts import KOREAN, OTHER_SCRIPTS, PARITY_TEXTS, texts_at_the_limit

# Of the default, as promised to users; and of int8, under the least that docs/benchmarks.md publishes of sentences.
MINIMUM_COSINE = {"float16": 0.99999, "int8": 0.97}


@pytest.mark.parametrize("model", [MULTILINGUAL_MODEL, REAL_MODEL, "stand-in"])
@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_cosine_to_the_original(large_stand_in: Path, tmp_path: Path, model: str, precision: str) -> None:
    source = str(large_stand_in) if model == "stand-in" else model
    original = load_sentence_transformer(source, tmp_path / "unpacked")
    texts = PARITY_TEXTS + texts_at_the_limit(original.tokenizer, original.max_seq_length)
    if precision == "int8":
        texts = KOREAN + OTHER_SCRIPTS  # of meaning; what 8 bits make of control characters is nobody's concern
    with running_service(tmp_path, MODEL=source, PRECISION=precision) as service:
        answer = httpx.post(f"{service.proxy}/api/v1/embed-batch", json={"texts": texts}, timeout=60).json()
    expected = original.encode(texts, batch_size=1, normalize_embeddings=True)
    assert answer["version"].endswith(f"-{precision}")
    cosines = (np.array(answer["embeddings"]) * expected).sum(1)
    worst = int(cosines.argmin())
    assert cosines[worst] >= MINIMUM_COSINE[precision], f"{texts[worst][:40]!r}: cosine {cosines[worst]}"

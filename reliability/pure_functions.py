"""Generated input for the tokenizer's and pooling's pure functions, with what must hold for any of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st
from numpy.typing import NDArray
from tokenizers import Tokenizer

from bench.modules import load_module, version_folder
from reliability.findings import Findings

_WIDTH = 8  # of token embeddings; the formulas know no other
_TOLERANCE = 1e-4  # of float32 sums, relative to the largest value

_TEXT = st.one_of(
    st.text(max_size=60),
    st.text(alphabet="갈비탕 ㄱㅏ각힣각", max_size=30),
    st.text(alphabet="\u0300\u200d\ufe0f\U0001f468ﷺa ", max_size=40),
    st.builds(lambda part, times: part * times, st.text(min_size=1, max_size=4), st.integers(1, 600)),
)
_BYTES = st.one_of(st.binary(max_size=60), _TEXT.map(lambda text: text.encode("utf-8", "surrogatepass")))
_LARGE = 1e15  # whose square float32 still holds


def try_pure_functions(repository: Path, inputs: int, seed: int) -> list[Findings]:
    """At least so many texts, and as many rows of token embeddings."""
    folder = version_folder(repository, "tokenizer")
    tokenization = load_module(folder / "tokenization.py")
    pooling = load_module(version_folder(repository, "pooling") / "mean_pooling.py")
    tokenizer: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
    padding_id: int = tokenizer.padding["pad_id"]
    tokenizer.no_padding()
    texts, rows = Findings("tokenizer's functions: texts"), Findings("pooling's functions: rows")

    def tokenize(listed: list[bytes]) -> None:
        for text in listed:
            texts.add("refused" if _is_refused(tokenization, text) else "decoded")
        whole = [text for text in listed if not _is_refused(tokenization, text)]
        if whole:
            check_tokens(tokenization, tokenizer, padding_id, tokenization.decode_texts(whole))

    def pool(case: tuple[int, int, int, float]) -> None:
        count, length, number, scale = case
        chance = np.random.default_rng(number)
        for _ in range(count):
            rows.add("pooled")
        tokens = (chance.standard_normal((count, length, _WIDTH)) * scale).astype(np.float32)
        check_pooling(pooling, tokens, chance.integers(0, 2, (count, length)))

    lists = st.lists(_BYTES, min_size=1, max_size=8)
    arrays = st.tuples(
        st.integers(1, 8),
        st.integers(1, 40),
        st.integers(0, 2**32 - 1),
        st.sampled_from([0.0, 1e-30, 1e-6, 1.0, 1e6, _LARGE]),
    )
    _until(inputs, texts, tokenize, lists, seed)
    _until(inputs, rows, pool, arrays, seed)
    return [texts, rows]


def _until(inputs: int, findings: Findings, check: Callable[[Any], None], strategy: Any, seed: int) -> None:
    """Runs `check` on generated values, in rounds, each with a seed of its own: within one, none comes twice."""
    while findings.inputs < inputs and not findings.violations:
        seed += 1
        run = settings(
            max_examples=min(5_000, max(100, inputs // 4)),
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        try:
            wrap: Any = given(strategy)
            tried: Any = run(wrap(check))
            with_seed: Any = seeded(seed)
            with_seed(tried)()
        except Exception as error:
            findings.blame(f"{findings.name}: {type(error).__name__}: {error}"[:300])


def check_tokens(tokenization: Any, tokenizer: Any, padding_id: int, texts: list[str]) -> None:
    """Raises `AssertionError` where the padded tokens are not those of each text alone."""
    encodings = tokenizer.encode_batch(texts)
    found = tokenization.pad_encodings(encodings, tokenizer, padding_id)
    limit = tokenizer.truncation["max_length"]
    count, length = found.input_ids.shape
    assert count == len(texts), "a row for each text"
    assert length <= limit, "no longer than max_seq_length"
    assert found.attention_mask.shape == (count, length), "masks like ids"
    assert found.input_ids.min() >= 0, "ids from 0"
    assert found.input_ids.max() < tokenizer.get_vocab_size(), "ids within the vocabulary"
    assert (np.diff(found.attention_mask, axis=1) <= 0).all(), "padding on the right"
    assert (found.input_ids[found.attention_mask == 0] == padding_id).all(), "padding is the padding token"
    assert (found.truncated == (found.token_count > limit)).all(), "truncated says so"
    for row, text in enumerate(texts):
        alone = tokenizer.encode(text).ids
        kept = found.input_ids[row][found.attention_mask[row] == 1]
        assert kept.tolist() == alone, "a text's tokens do not depend on its neighbours"
        assert found.token_count[row, 0] >= len(alone), "the count is of the whole text"


def check_pooling(pooling: Any, tokens: NDArray[np.float32], mask: NDArray[np.int64]) -> None:
    """Raises `AssertionError` where the means are not those of float64, or a unit vector is none."""
    mean = pooling.mean_pool(tokens, mask)
    weights = mask.astype(np.float64)
    total = (tokens.astype(np.float64) * weights[:, :, np.newaxis]).sum(axis=1)
    expected = total / np.maximum(weights.sum(axis=1, keepdims=True), 1e-9)
    assert mean.shape == (len(tokens), _WIDTH), "a row for each text"
    assert mean.dtype == np.float32, "float32"
    assert np.isfinite(mean).all(), "finite"
    assert np.allclose(mean, expected, rtol=_TOLERANCE, atol=_TOLERANCE * float(abs(tokens).max(initial=0))), "the mean"
    assert not mean[weights.sum(axis=1) == 0].any(), "zeros where no token is real"
    unit = pooling.normalize(mean)
    assert np.isfinite(unit).all(), "finite at unit length"
    assert (np.linalg.norm(unit.astype(np.float64), axis=1) < 1 + 1e-5).all(), "no longer than 1"


def _is_refused(tokenization: Any, text: bytes) -> bool:
    try:
        (decoded,) = tokenization.decode_texts([text])
    except tokenization.InvalidText:
        return True
    assert decoded.encode("utf-8") == text, "decoding loses nothing"
    return False

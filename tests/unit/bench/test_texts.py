"""The benchmark's texts: distinct, reproducible, of the lengths that were asked for."""

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from bench.texts import CATALOGUE_MEAN, LongTexts, Queries, TextsUsedUp, recipe_lines, zipf_log


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """One token for each character, and one before and after."""
    letters = sorted({letter for line in recipe_lines() for letter in line})
    made = Tokenizer(models.WordLevel({token: place for place, token in enumerate(["<s>", "</s>", *letters])}, "<s>"))
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split("", "isolated")]
    )
    made.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)])
    return made


def test_no_query_comes_twice() -> None:
    queries = Queries()
    texts = [queries.text(number) for number in range(queries.total)]
    assert queries.total > 1_000_000
    assert len(set(texts)) == len(texts)


def test_a_query_depends_on_seed_and_number_alone() -> None:
    assert Queries().take(50) == Queries().take(50)
    assert Queries(seed=1).text(7) != Queries(seed=2).text(7)


def test_a_reservation_is_nobody_elses() -> None:
    queries = Queries()
    first = queries.reserve(1_000)
    queries.give_back(first + 10)
    assert queries.reserve(1) == first + 10
    with pytest.raises(TextsUsedUp):
        queries.reserve(queries.total)


def test_queries_are_safe_in_json_and_lua() -> None:
    queries = Queries()
    assert not any(set(text) & set('"\\%\n') for text in queries.take(20_000))


@pytest.mark.parametrize("tokens", [5, 16, 128])
def test_a_text_has_the_tokens_asked_for(tokenizer: Tokenizer, tokens: int) -> None:
    assert len(tokenizer.encode(LongTexts(tokenizer).of_tokens(tokens)).ids) == tokens


def test_a_request_has_the_tokens_asked_for(tokenizer: Tokenizer) -> None:
    texts = LongTexts(tokenizer).request_of(300)
    assert [len(tokenizer.encode(text).ids) for text in texts] == [128, 128, 44]


def test_the_catalogue_has_its_mean_and_repeats_nothing(tokenizer: Tokenizer) -> None:
    long_texts = LongTexts(tokenizer)
    texts = long_texts.catalogue() + long_texts.catalogue()
    lengths = [len(encoding.ids) for encoding in tokenizer.encode_batch(texts)]
    assert len(set(texts)) == 200
    assert abs(sum(lengths) / 200 - CATALOGUE_MEAN) < 1
    assert max(lengths) > 2 * min(lengths)


def test_too_short_a_text_runs_out(tokenizer: Tokenizer) -> None:
    long_texts = LongTexts(tokenizer)
    there_are = len({letter for line in recipe_lines() for letter in line.split() if len(letter) == 1})
    for _ in range(there_are // 2):
        long_texts.of_tokens(3)
    with pytest.raises(TextsUsedUp):
        [long_texts.of_tokens(3) for _ in range(there_are)]


def test_the_log_asks_for_the_first_text_most() -> None:
    log = list(zipf_log(["a", "b", "c", "d"], 20_000))
    counts = [log.count(text) for text in "abcd"]
    assert counts == sorted(counts, reverse=True)
    assert abs(counts[0] / counts[1] - 2) < 0.2

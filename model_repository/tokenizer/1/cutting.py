"""Long texts, cut before they are tokenized to a part that gives the ids of the whole text.

The model sees `max_length` tokens of a text from one side. The step reads a window of the text on that side, which ends
at a safe boundary: what stands before and after it is normalized, and told apart into words, independently. All tokens
of the window but those of the word at the boundary are then certainly the whole text's. Where they are too few, the
window grows. Texts that are not longer than the first window are read whole, so their token counts are exact.
"""

import json
import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from itertools import takewhile
from typing import Any, NamedTuple

from tokenizers import Encoding, Tokenizer
from tokenizers.models import Unigram

# The first window, in characters; or 8 for each token that the model sees, where that is more.
EXACT_CHARACTERS = 4096
_CHARACTERS_PER_TOKEN = 8
_GROWTH = 8

# Nothing larger is tokenized: time and memory grow with it.
MAX_CHARACTERS = 262_144

# Of the texts of a request that have no certain first window, all windows together.
ODD_CHARACTERS = 4 * MAX_CHARACTERS

# What is known to treat both sides of a boundary independently; with anything else texts are read whole or not at all.
_NORMALIZERS = {
    "BertNormalizer", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Nmt", "Precompiled", "Strip",
    "StripAccents",
}  # fmt: skip
_SPACES_TO_ONE = ({"Regex": " {2,}"}, (" ", "▁"))  # the one Replace, as XLM-RoBERTa's converted tokenizers have it
_DROP_SPACES = {"BertPreTokenizer", "WhitespaceSplit"}
_PRE_TOKENIZERS = _DROP_SPACES | {"Metaspace"}

# Runs that can be shortened without a change of the ids. The ends stay: they may belong to what stands beside them.
_SPACES = re.compile(r"[ \t\r\n\u00a0\u3000]{64,}")
_WORD = re.compile(r"[0-9A-Za-z가-힣]{1024,}")
_WORD_ENDS = 512

# Tokens past those that are needed at which the ends of an unbroken word are compared.
_MARGINS = (32, 512)


class Cut(NamedTuple):
    """The part of a text that stands for it."""

    encoding: Encoding
    token_count: int | None  # a lower bound of the text's, the special ones included; None where the whole was read


class NotCut(ValueError):
    """A text of which no part that may be read tells the tokens that the model sees; the message names its place."""


class Cutter:
    """Encodes texts of any length by a tokenizer that truncates on the right and does not pad."""

    def __init__(self, tokenizer: Tokenizer, prompt_characters: int = 0) -> None:
        """`prompt_characters`: of each text, so many are a prompt, which is not of the characters that are counted."""
        self._tokenizer = tokenizer
        self._special = tokenizer.num_special_tokens_to_add(False)
        limit: int = tokenizer.truncation["max_length"]
        self._needed = limit - self._special + 1  # one more than the model sees: the text is surely truncated
        self._first = prompt_characters + max(EXACT_CHARACTERS, _CHARACTERS_PER_TOKEN * limit)
        added = tokenizer.get_added_tokens_decoder().values()
        # Each with how many characters beside it decide whether it is one.
        self._added = sorted({(token.content, int(token.single_word)) for token in added})
        normalizers = _parts(tokenizer.normalizer, "normalizers")
        pre_tokenizers = _parts(tokenizer.pre_tokenizer, "pretokenizers")
        self._cuts = (
            not any(token.normalized for token in added)
            and all(map(_is_known_normalizer, normalizers))
            and bool(pre_tokenizers)
            and all(part["type"] in _PRE_TOKENIZERS for part in pre_tokenizers)
        )
        self._drops_spaces = bool(pre_tokenizers) and pre_tokenizers[0]["type"] in _DROP_SPACES
        self._drops_spaces &= not any(re.search(r"\s", token) for token, _ in self._added)
        # A word of so many characters is one unknown token for WordPiece, whatever is in it.
        self._longest_word: int | None = getattr(tokenizer.model, "max_input_chars_per_word", None)
        if pre_tokenizers[:1] != [{"type": "BertPreTokenizer"}] or any(
            re.fullmatch(r"\w+", token) for token, _ in self._added
        ):
            self._longest_word = None
        self._longest_piece: int | None = None  # measured where it is needed first

    def encode(self, texts: Sequence[str], side: str) -> list[Cut]:
        """A `Cut` for each text of a request, all cut on the same side: "right" or "left".

        Raises `NotCut`, as well where odd texts are more than a request may have.
        """
        windows = [self._window(text, side, self._first) for text in texts]
        encodings = iter(self._tokenizer.encode_batch([window for window in windows if window is not None]))
        cuts = []
        left = ODD_CHARACTERS
        for place, (text, window) in enumerate(zip(texts, windows, strict=True)):
            cut = None if window is None else self._judge(text, side, window, next(encodings))
            if cut is None:
                cut, read = self._encode_odd(text, side, left)
                left -= read
            if cut is None:
                reason = f"its tokens are not certain within {MAX_CHARACTERS} characters"
                raise NotCut(f"text {place} is not valid: {reason}")
            cuts.append(cut)
        return cuts

    def _encode_odd(self, text: str, side: str, most: int) -> tuple[Cut | None, int]:
        """For a text of whose first window too few tokens are certain; with how many characters were read."""
        text = self._squeeze(text)
        size = self._first
        read = 0
        while size <= MAX_CHARACTERS and read + min(size, len(text)) <= most:
            read += min(size, len(text))
            window = self._window(text, side, size)
            if window is not None and (cut := self._judge(text, side, window, self._tokenizer.encode(window))):
                return cut, read
            size = MAX_CHARACTERS if size < MAX_CHARACTERS < size * _GROWTH else size * _GROWTH
        return None, read

    def _judge(self, text: str, side: str, window: str, encoding: Encoding) -> Cut | None:
        """The window's encoding as the text's, or None where too few of its tokens are certain."""
        if window is text:
            return Cut(encoding, None)
        certain = self._certain_tokens(window, encoding, side)
        return Cut(encoding, certain + self._special) if certain >= self._needed else None

    def _window(self, text: str, side: str, size: int) -> str | None:
        """At most `size` characters, and at least half of that, of the text's kept side; None without a boundary."""
        if len(text) <= size or not self._cuts:
            return text if len(text) <= MAX_CHARACTERS else None
        if side == "right":
            place = next((place for place in range(size, size // 2, -1) if self._may_cut(text, place, place - 1)), None)
            return None if place is None else text[:place]
        begin, end = len(text) - size, len(text) - size // 2
        place = next((place for place in range(begin, end) if self._may_cut(text, place, place)), None)
        return None if place is None else text[place:]

    def _may_cut(self, text: str, place: int, kept: int) -> bool:
        """Whether `place` is a safe boundary; `kept` is the place of the kept character at it.

        That one must be no space: a run of spaces stays whole, on the other side.
        """
        if text[kept].isspace() or not (stands_alone(text[place - 1]) and stands_alone(text[place])):
            return False
        return not any(
            token in text[max(0, place - len(token) + 1 - beside) : place + len(token) - 1 + beside]
            for token, beside in self._added
        )

    def _certain_tokens(self, window: str, encoding: Encoding, side: str) -> int:
        """How many of the window's tokens, from the kept side on, are the whole text's: all up to the cut word."""
        parts = (encoding, *encoding.overflowing)
        tokens = [
            (word, token)
            for part in parts
            for word, token in zip(part.word_ids, part.ids, strict=True)
            if word is not None
        ]
        if side == "left":
            tokens.reverse()
        cut_word = [token for _, token in takewhile(lambda each: each[0] == tokens[-1][0], reversed(tokens))]
        certain = len(tokens) - len(cut_word)
        if side == "right" and certain < self._needed < len(tokens) and isinstance(self._tokenizer.model, Unigram):
            certain += self._certain_pieces(window, cut_word[::-1], self._needed - certain)
        return certain

    def _certain_pieces(self, window: str, ids: list[int], needed: int) -> int:
        """How many of the last word's `ids` are certain, however the word goes on; 0 for fewer than `needed`.

        The best path of pieces through a longer word passes through one of the ends among any `_longest_piece` that
        follow one another, and up to there it is the best path of the word that ends there. So what the paths of all
        these shorter words have in common begins the longer word's path, too.
        """
        if self._longest_piece is None:
            vocabulary = map(self._tokenizer.id_to_token, range(self._tokenizer.get_vocab_size()))
            self._longest_piece = max(len(piece or "") for piece in vocabulary)
        begin = max((window.rfind(token) + len(token) for token, _ in self._added if token in window), default=0)
        text = window[begin:]
        normalizer, model = self._tokenizer.normalizer, self._tokenizer.model
        words = self._tokenizer.pre_tokenizer.pre_tokenize_str(normalizer.normalize_str(text) if normalizer else text)
        word = words[-1][0] if words else ""
        pieces = model.tokenize(word)
        if [piece.id for piece in pieces] != ids or "".join(piece.value for piece in pieces) != word:
            return 0
        for margin in _MARGINS:
            end = sum(len(piece.value) for piece in pieces[: needed + margin])
            if not self._longest_piece <= end < len(word):
                continue
            ends = range(end, end - self._longest_piece, -1)
            paths = [[piece.id for piece in model.tokenize(word[:place])] for place in ends]
            common = sum(1 for _ in takewhile(lambda ids: len(set(ids)) == 1, zip(*paths, strict=False)))
            if common >= needed:
                return common
        return 0

    def _squeeze(self, text: str) -> str:
        """The text with long runs of spaces, and words that are one unknown token, shortened: the ids stay the same."""
        if self._drops_spaces and self._cuts:
            text = _SPACES.sub(lambda run: run[0][-1], text)
        if self._longest_word is not None and self._longest_word <= _WORD_ENDS and self._cuts:
            text = _WORD.sub(lambda run: run[0][:_WORD_ENDS] + run[0][-_WORD_ENDS:], text)
        return text


@lru_cache(maxsize=4096)
def stands_alone(character: str) -> bool:
    """Whether text on both sides of a boundary beside it, with another such one across, is normalized independently.

    >>> [stands_alone(character) for character in "a 갈汉🍚"], stands_alone(chr(0x301)), stands_alone(chr(0x200D))
    ([True, True, True, True, True], False, False)
    """
    code = ord(character)
    if character in "\t\n" or 0xAC00 <= code <= 0xD7A3:
        return True
    if code >= 0x11000 and (code < 0x12000 or 0x16D40 <= code < 0x16D80 or 0x1F1E6 <= code <= 0x1F1FF):
        return False  # signs of South Asia that join what follows, and letters that are flags by twos
    first = unicodedata.normalize("NFKD", character)[0]
    if any(low <= ord(each) <= high for each in (character, first) for low, high in _JAMO):
        return False
    category = unicodedata.category(character)
    alone = category[0] in "LNPS" and category not in ("Lm", "Sk")
    return (alone or category == "Zs") and unicodedata.category(first)[0] != "M" and code != 0x0D4E


# Letters that Hangul syllables are composed of.
_JAMO = ((0x1100, 0x11FF), (0xA960, 0xA97F), (0xD7B0, 0xD7FF))


def _parts(step: Any, name: str) -> list[dict[str, Any]]:
    """A normalizer or pre-tokenizer, or the parts of a sequence of them, as `tokenizer.json` describes them."""
    if step is None:
        return []
    described = json.loads(step.__getstate__())
    return described[name] if described["type"] == "Sequence" else [described]


def _is_known_normalizer(part: dict[str, Any]) -> bool:
    if part["type"] == "Replace":
        return part["pattern"] == _SPACES_TO_ONE[0] and part["content"] in _SPACES_TO_ONE[1]
    return part["type"] in _NORMALIZERS

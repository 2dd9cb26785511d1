"""What a text costs a call: tokens as the engine's answers show them, and characters."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from proxy.embedding.base import Text

_SPECIAL_TOKENS = 2

# Tokens for a character before the first answer, and the least and the most that answers may make of it: one client's
# odd texts must not make the calls of all too large or too small.
_FIRST = 1 / 2
_LEAST, _MOST = 1 / 6, 1.5

# EWMA weight of the newest call: about the last 20 matter.
_NEWEST = 0.1

# The engine's count of a longer text may be a lower bound (EXACT_CHARACTERS in the tokenizer step's cutting.py).
COUNTED_CHARACTERS = 4096


class TokenCosts:
    """Estimates tokens before a text is sent, and corrects itself by the counts that come back.

    English has about 4 characters for a token, Korean 2, Chinese 1 to 1.5: texts in ASCII and others are learned apart.
    """

    def __init__(self) -> None:
        self._tokens_per_character = {True: _FIRST, False: _FIRST}  # by whether a text is ASCII

    def estimate(self, text: Text, limit: int) -> int:
        """About how many tokens of the text the model computes, the special ones counted; never more than `limit`.

        >>> TokenCosts().estimate("hello world", 128), TokenCosts().estimate("x" * 10**6, 128)
        (7, 128)
        >>> TokenCosts().estimate((5, 6, 7), 128)
        5
        """
        rate = self._tokens_per_character[text.isascii()] if isinstance(text, str) else 1
        return min(int(len(text) * rate) + _SPECIAL_TOKENS, limit)

    def learn(self, texts: Sequence[Text], token_counts: NDArray[np.int32]) -> None:
        """Takes the counts `[N]` of N texts that were answered."""
        for is_ascii, known in self._tokens_per_character.items():
            tokens = characters = 0
            for text, count in zip(texts, token_counts.tolist(), strict=True):
                if isinstance(text, str) and text.isascii() is is_ascii and len(text) <= COUNTED_CHARACTERS:
                    characters += len(text)
                    tokens += count - _SPECIAL_TOKENS
            if characters:
                seen = min(max(tokens / characters, _LEAST), _MOST)
                self._tokens_per_character[is_ascii] = known + _NEWEST * (seen - known)

"""Which of the waiting texts go into the next call: bounded in tokens, texts and characters, fair to small requests."""

from collections.abc import Sequence
from dataclasses import dataclass

from proxy.embedding.base import Text
from proxy.embedding.pending import PendingRequest

Call = list[tuple[PendingRequest, list[int]]]  # requests, and the places of those of their texts that are sent

# A large request gets 1/8 of a call's tokens while others wait, and half once it has waited for long.
_SHARE = 8
_IMPATIENT_SHARE = 2

# Characters of a call: the tokenizer reads past what the model computes, and must not be busy for long either. A single
# text counts at most half of them, so that one of any length leaves room for other requests.
MAX_CHARACTERS = 65_536
_TEXT_CHARACTERS = MAX_CHARACTERS // 2
_ID_CHARACTERS = 8  # a token id, in JSON


@dataclass(frozen=True)
class CallLimits:
    """How large a call may be: a request's first text may go past `tokens`, and nothing past `texts`."""

    tokens: int
    texts: int


def characters(text: Text) -> int:
    """What a text counts of a call's characters.

    >>> characters("abc"), characters((5, 6)), characters("x" * 10**7) == MAX_CHARACTERS // 2
    (3, 16, True)
    """
    return min(len(text) * (1 if isinstance(text, str) else _ID_CHARACTERS), _TEXT_CHARACTERS)


def fill(requests: Sequence[PendingRequest], limits: CallLimits, now: float, short: bool) -> Call:
    """Takes the next call's texts out of 1 or more requests of one group, in order of arrival.

    The oldest request gets its share first, so that it is never passed for ever. Then come the requests of one text, of
    which one at least has room in every call, then the large ones. What is left is filled up by the large ones, unless
    small ones are there, or `short` says that they were in the call before: they are about to ask again, and what they
    then wait for is kept short.
    """
    oldest, others = requests[0], requests[1:]
    small = [request for request in others if request.is_small]
    large = [request for request in others if not request.is_small]
    large.sort(key=lambda request: 0 if request.patient_until <= now else len(request.waiting))
    share = limits.tokens if not others and not short else _share(oldest, limits, now)
    filling = _Filling(limits)
    filling.take(oldest, share, at_least=1)
    # A text that is longer than the share is no reason for the small ones to stay behind.
    filling.left = limits.tokens - min(limits.tokens - filling.left, share)
    for number, request in enumerate(small):
        filling.take(request, filling.left, at_least=1 if number == 0 else 0)
    for request in large:
        filling.take(request, _share(request, limits, now))
    if not small and not short:
        for request in (oldest, *large):
            filling.take(request, filling.left)
    return filling.call


def _share(request: PendingRequest, limits: CallLimits, now: float) -> int:
    return limits.tokens // (_IMPATIENT_SHARE if request.patient_until <= now else _SHARE)


def halves(call: Call) -> tuple[Call, Call]:
    """The requests of a call of two or more, in two calls."""
    middle = (len(call) + 1) // 2
    return call[:middle], call[middle:]


class _Filling:
    """A call in the making."""

    def __init__(self, limits: CallLimits) -> None:
        self.left = limits.tokens
        self._texts = limits.texts
        self._characters = MAX_CHARACTERS
        self._taken: dict[PendingRequest, list[int]] = {}

    @property
    def call(self) -> Call:
        return list(self._taken.items())

    def take(self, request: PendingRequest, tokens: int, at_least: int = 0) -> None:
        """Moves texts of `request` into the call: up to `tokens` tokens and what is left, or `at_least` so many."""
        taken = 0
        tokens = min(tokens, self.left)
        while request.waiting and self._texts > 0:
            place = request.waiting[-1]
            cost, size = request.costs[place], characters(request.texts[place])
            if taken >= at_least and (cost > tokens or size > self._characters):
                break
            self._taken.setdefault(request, []).append(request.take())
            taken += 1
            tokens -= cost
            self.left -= cost
            self._characters -= size
            self._texts -= 1

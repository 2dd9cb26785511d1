"""What became of one request, and what a run of them adds up to."""

import enum
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import orjson

from reliability.corpus import Corpus

_EXAMPLES = 5  # of what must not be, kept for the reader


class Verdict(enum.Enum):
    """The first two are what a client may get at any time; the next two while the proxy itself is away."""

    RIGHT = "right"
    CLEAN = "clean 5xx"  # 503 with Retry-After or 504, with one sentence
    REFUSED = "refused"  # nothing listens
    CUT = "cut off"  # the connection ended before the answer did
    WRONG = "wrong"  # 200, and not what belongs to the texts
    UNCLEAN = "unclean"  # any other status or form
    HUNG = "hung"  # no answer a second after the deadline

    @property
    def is_never_right(self) -> bool:
        """Whether no fault excuses it."""
        return self in (Verdict.WRONG, Verdict.UNCLEAN, Verdict.HUNG)


class Outcome(NamedTuple):
    """One request; times are of one monotonic clock."""

    sent: float
    finished: float
    verdict: Verdict


@dataclass
class Record:
    """Every outcome, in the order of the answers."""

    outcomes: list[Outcome] = field(default_factory=list)
    texts: int = 0  # whose vectors were compared and right
    examples: list[str] = field(default_factory=list)

    def add(self, sent: float, finished: float, verdict: Verdict, texts: int, about: str = "") -> None:
        """Takes one outcome; `about` describes it where it must not be."""
        self.outcomes.append(Outcome(sent, finished, verdict))
        if verdict is Verdict.RIGHT:
            self.texts += texts
        elif verdict.is_never_right and len(self.examples) < _EXAMPLES:
            self.examples.append(f"{verdict.value}: {about}")

    def counts(self, since: float = float("-inf"), until: float = float("inf")) -> Counter[Verdict]:
        """How many of each were answered in `[since, until)`."""
        return Counter(outcome.verdict for outcome in self.outcomes if since <= outcome.finished < until)


def judge(
    corpus: Corpus,
    places: Sequence[int],
    normalize: bool,
    single: bool,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
) -> Verdict:
    """The verdict on a whole answer to a request for `places` of the corpus."""
    try:
        document: Any = orjson.loads(body)
    except ValueError:
        return Verdict.WRONG if status == 200 else Verdict.UNCLEAN
    if status == 200:
        return Verdict.RIGHT if _is_right(corpus, places, normalize, single, document) else Verdict.WRONG
    sentence = document.get("detail") if isinstance(document, dict) else None
    asks_again = "Retry-After" in headers
    if isinstance(sentence, str) and sentence and ((status == 503 and asks_again) or status == 504):
        return Verdict.CLEAN
    return Verdict.UNCLEAN


def _is_right(corpus: Corpus, places: Sequence[int], normalize: bool, single: bool, document: Any) -> bool:
    try:
        rows = [document["embedding"]] if single else document["embeddings"]
        found = np.array(rows, dtype=np.float32)
        counted = single or document["count"] == len(places)
        named = document["dim"] == corpus.dimension and document["version"] == corpus.version
    except (KeyError, TypeError, ValueError):
        return False
    return counted and named and found.ndim == 2 and corpus.is_right(places, normalize, found)

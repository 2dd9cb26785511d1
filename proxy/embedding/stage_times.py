"""Where the time of a text goes on its way through queue, Triton and the ensemble's steps."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class StageTimes:
    """Where the time went after the proxy's own work, in seconds; 0 for what was not come to or is not known."""

    NAMES: ClassVar = ("queue", "triton", "tokenize", "encode", "pool")

    queue: float = 0.0  # texts waited for a call, and none was under way
    triton: float = 0.0  # of calls to the engine what is none of its steps: the way there and back, scheduling
    tokenize: float = 0.0
    encode: float = 0.0  # from the tokenizer's end to pooling's begin
    pool: float = 0.0

    @property
    def total(self) -> float:
        """All of them."""
        return self.queue + self.triton + self.tokenize + self.encode + self.pool

    def items(self) -> list[tuple[str, float]]:
        """Name and seconds of each, in the order in which a text comes to them."""
        return [
            ("queue", self.queue),
            ("triton", self.triton),
            ("tokenize", self.tokenize),
            ("encode", self.encode),
            ("pool", self.pool),
        ]

    def __add__(self, other: "StageTimes") -> "StageTimes":
        """One after the other."""
        return StageTimes(
            self.queue + other.queue,
            self.triton + other.triton,
            self.tokenize + other.tokenize,
            self.encode + other.encode,
            self.pool + other.pool,
        )


NO_TIMES = StageTimes()

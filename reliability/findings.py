"""What one block of bad input came to, and the marks that show one client's text where it must not be."""

import itertools
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

_PREFIX = "marked-5e1f-"
_MARK = re.compile(rb"marked-5e1f-\d+")
_numbers = itertools.count(1)
_EXAMPLES = 5


@dataclass
class Findings:
    """`answers` counts by status, or by what came in the place of one."""

    name: str
    inputs: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def add(self, answer: str, violation: str = "") -> None:
        """Takes one input's answer; the first few violations are kept in words, the others counted."""
        self.inputs += 1
        self.answers[answer] += 1
        if violation:
            self.blame(violation)

    def blame(self, violation: str) -> None:
        """Takes a violation."""
        self.answers["violations"] += 1
        if len(self.violations) < _EXAMPLES:
            self.violations.append(violation)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "name": self.name,
            "inputs": self.inputs,
            "answers": dict(self.answers),
            "violations": self.violations,
        }


def new_mark() -> str:
    """A word that no other input has."""
    return f"{_PREFIX}{next(_numbers)}"


def foreign_marks(content: bytes, own: str = "") -> set[bytes]:
    """The marks in `content` that are not `own`.

    >>> foreign_marks(b"marked-5e1f-1 marked-5e1f-12", "marked-5e1f-1")
    {b'marked-5e1f-12'}
    """
    return set(_MARK.findall(content)) - {own.encode()}


def judge_answer(status: int, content: bytes, own: str, about: str) -> str:
    """The violation in an HTTP answer; empty where there is none. 503 and 504 are refusals, and no crash."""
    if status >= 500 and status not in (503, 504):
        return f"{about}: {status}: {content[:150]!r}"
    if found := foreign_marks(content, own):
        return f"{about}: another client's text in the answer: {sorted(found)[0]!r}"
    return ""

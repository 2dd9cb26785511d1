"""A steady load of single requests, each from a client of its own, while something is done to the service."""

import threading
from collections import Counter
from types import TracebackType

import httpx

from tests.compose.stack import EMBED


class Load:
    """Clients that ask without a pause from `with` on to its end, each text once.

    `answers` counts what came back: a status, or the name of a client's error. With `patient`, a client asks again
    until its request is answered, as the service's clients do, and `unanswered` is what was left at the end.
    """

    def __init__(self, url: str, clients: int = 2, *, patient: bool = False) -> None:
        self._url = url
        self._patient = patient
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(clients)]
        self.answers: Counter[int | str] = Counter()
        self.versions: set[str] = set()
        self.unanswered = 0

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def answered(self) -> int:
        return self.answers[200]

    def _ask(self, client: int) -> None:
        count = 0
        while not self._stop.is_set():
            count += 1
            text = f"갈비탕 {client} {count}"
            while not self._once(text) and self._patient:
                if self._stop.wait(0.1):
                    self.unanswered += 1
                    return

    def _once(self, text: str) -> bool:
        try:
            answer = httpx.post(f"{self._url}{EMBED}", json={"text": text}, timeout=60)
        except httpx.TransportError as error:
            self.answers[type(error).__name__] += 1
            return False
        self.answers[answer.status_code] += 1
        if answer.status_code != 200:
            return False
        self.versions.add(answer.json()["version"])
        return True

"""Computations that several requests wait for: who starts one, who joins it, and who takes over where it fails.

A failure belongs to the request that a computation was started for: to its deadline, to the room that it found, or to
another of its texts. Requests that joined it are not told of that; one new computation serves all of them, with the
longest of their deadlines, and is then their own. The fault of a joined text itself is shared.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

from proxy.embedding.base import Embeddings, Text
from proxy.errors import InvalidText

Key = TypeVar("Key", bound=tuple[Any, ...])  # of a text, which is its last part
Compute = Callable[[Sequence[Key], float], Awaitable[Embeddings]]  # keys, deadline


class Passenger(Generic[Key]):
    """One request's interest in some keys of a computation."""

    def __init__(self, flight: "_Flight[Key]", keys: Sequence[Key], deadline: float) -> None:
        self.keys = keys
        self.deadline = deadline
        self.flight = flight

    async def answer(self) -> tuple[Embeddings, list[int]]:
        """The computation's answer, and the rows of the keys in it. Raises as the computation does."""
        while True:
            flight = self.flight
            try:
                embeddings = await asyncio.shield(flight.work)
            except Exception:
                if self.flight is flight:  # nobody took over for it: the failure is its own
                    raise
            else:
                return embeddings, [flight.rows[key] for key in self.keys]


class _Flight(Generic[Key]):
    """A computation under way, and the requests that wait for it."""

    def __init__(self, keys: Sequence[Key], work: "asyncio.Future[Embeddings]") -> None:
        self.rows = {key: row for row, key in enumerate(keys)}
        self.work = work
        self.owners: dict[Passenger[Key], None] = {}  # it was started for them; in order of arrival, as the next
        self.joined: dict[Passenger[Key], None] = {}

    @property
    def is_empty(self) -> bool:
        return not self.owners and not self.joined

    @property
    def is_lost(self) -> bool:
        """Whether it failed: nobody may join it any more."""
        return self.work.done() and (self.work.cancelled() or self.work.exception() is not None)


class Flights(Generic[Key]):
    """All computations that are under way, by the keys of their texts."""

    def __init__(self, compute: Compute[Key]) -> None:
        """`compute` answers a vector for each of the keys, in their order; it may raise at once."""
        self._compute = compute
        self._flights: dict[Key, _Flight[Key]] = {}

    def __contains__(self, key: Key) -> bool:
        flight = self._flights.get(key)
        return flight is not None and not flight.is_lost

    def start(self, keys: Sequence[Key], deadline: float) -> Passenger[Key]:
        """Computes keys of which none is under way. Raises what `compute` raises at once."""
        flight = self._start(keys, deadline)
        passenger = Passenger(flight, keys, deadline)
        flight.owners[passenger] = None
        return passenger

    def join(self, keys: Iterable[Key], deadline: float) -> list[Passenger[Key]]:
        """Waits for keys that are all under way."""
        flights: dict[_Flight[Key], list[Key]] = {}
        for key in keys:
            flights.setdefault(self._flights[key], []).append(key)
        passengers = []
        for flight, theirs in flights.items():
            passenger = Passenger(flight, theirs, deadline)
            flight.joined[passenger] = None
            passengers.append(passenger)
        return passengers

    def leave(self, passenger: Passenger[Key]) -> None:
        """The request waits no more. The last to leave a computation stops it."""
        flight = passenger.flight
        flight.owners.pop(passenger, None)
        flight.joined.pop(passenger, None)
        if flight.is_empty and not flight.work.done():
            flight.work.cancel()
            self._forget(flight)  # at once: nobody may join it any more

    def _start(self, keys: Sequence[Key], deadline: float) -> _Flight[Key]:
        flight = _Flight(keys, asyncio.ensure_future(self._compute(keys, deadline)))
        # Before any passenger's: a failure has been dealt with when they go on.
        flight.work.add_done_callback(partial(self._ended, flight))
        for key in keys:
            self._flights[key] = flight
        return flight

    def _ended(self, flight: _Flight[Key], work: "asyncio.Future[Embeddings]") -> None:
        self._forget(flight)
        if not work.cancelled() and isinstance(error := work.exception(), Exception):
            self._take_over(flight, error)

    def _take_over(self, flight: _Flight[Key], error: Exception) -> None:
        """One new computation for the requests that joined one which failed by no fault of their texts."""
        now = asyncio.get_running_loop().time()
        at_fault = _keys_at_fault(flight, error)
        left = [
            passenger for passenger in flight.joined if passenger.deadline > now and at_fault.isdisjoint(passenger.keys)
        ]
        keys = dict.fromkeys(key for passenger in left for key in passenger.keys)
        if not keys:
            return
        try:
            successor = self._start(list(keys), max(passenger.deadline for passenger in left))
        except Exception as error:
            failed: asyncio.Future[Embeddings] = asyncio.get_running_loop().create_future()
            failed.set_exception(error)
            successor = _Flight(list(keys), failed)
        for passenger in left:
            del flight.joined[passenger]
            passenger.flight = successor
            successor.owners[passenger] = None

    def _forget(self, flight: _Flight[Key]) -> None:
        for key in flight.rows:
            if self._flights.get(key) is flight:
                del self._flights[key]


def _keys_at_fault(flight: _Flight[Key], error: Exception) -> set[Key]:
    """Those whose text the engine refused."""
    if not isinstance(error, InvalidText):
        return set()
    if error.text is None:
        return set(flight.rows) if len(flight.rows) == 1 else set()
    text: Text = error.text  # type: ignore[assignment]
    return {key for key in flight.rows if key[-1] == text}

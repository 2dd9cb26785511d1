"""Joins texts that wait into calls of bounded size, and shares each call between the requests that wait.

While a call is under way, what arrives waits, and goes into the next one: many small requests cost one pass through
the engine. A large request is cut into pieces, so that a small one never waits for all of it: at most for the call
that is under way, and for its own.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from proxy.embedding.base import AroundEmbedder, Embedder, Embeddings, Text, Tokens, TruncationSide
from proxy.embedding.callers import called_for
from proxy.embedding.calls import MAX_CHARACTERS, Call, CallLimits, characters, fill, halves
from proxy.embedding.costs import TokenCosts
from proxy.embedding.model import ServedModel
from proxy.embedding.pending import Group, PendingRequest
from proxy.embedding.tokenizing import tokenize_in_parts
from proxy.errors import EmbeddingError, EngineFailed, InvalidText

LOG = logging.getLogger("proxy")

# Texts of a call to an ensemble that says nothing of its largest batch.
_MAX_TEXTS = 128

# Texts of fewer characters than a call's by this factor are tokenized at once.
_MANY_CHARACTERS = 4


class BatchingEmbedder(AroundEmbedder):
    """An `Embedder` around another one, which it gives at most `calls` calls of about `tokens` tokens at a time."""

    def __init__(
        self, engine: Embedder, calls: int, tokens: int, tell_call: Callable[[int], None] = lambda _: None
    ) -> None:
        """`tell_call`: is told how many texts a call has, when it is sent."""
        super().__init__(engine)
        self._tell_call = tell_call
        self._calls = calls
        self._tokens = tokens
        self._costs = TokenCosts()
        self._model: ServedModel | None = None  # of the latest answer; its limits are those of calls
        self._asking = asyncio.Lock()
        self._tokenizing = asyncio.Lock()
        self._waiting: dict[PendingRequest, None] = {}  # in order of arrival
        self._served: dict[Group, int] = {}  # the number of the latest call of each group
        self._call_number = 0
        self._short = False  # whether the last call had small requests and others
        self._under_way: set[asyncio.Task[None]] = set()

    def embed(
        self, texts: Sequence[Text], normalize: bool, deadline: float, truncation: TruncationSide = "right"
    ) -> Awaitable[Embeddings]:
        """One vector for each text: a future, but before the model is known. Its cancellation takes the texts along."""
        if self._model is None:
            return self._embed_first(texts, normalize, deadline, truncation)
        request = PendingRequest(texts, normalize, deadline, truncation, self._costs, self._model.max_seq_length)
        self._waiting[request] = None
        self._start_calls()
        return request.done

    async def tokenize(
        self,
        texts: Sequence[Text],
        deadline: float,
        truncation: TruncationSide = "right",
        special_tokens: bool = False,
    ) -> Tokens:
        """The token ids of each text. Long texts go in parts, one at a time over all requests."""
        if sum(map(characters, texts)) <= MAX_CHARACTERS // _MANY_CHARACTERS:
            return await self._embedder.tokenize(texts, deadline, truncation, special_tokens)
        return await tokenize_in_parts(self._embedder, self._tokenizing, texts, deadline, truncation, special_tokens)

    async def check(self, deadline: float) -> ServedModel:
        """The embedder's own answer."""
        self._model = await self._embedder.check(deadline)
        return self._model

    async def _embed_first(
        self, texts: Sequence[Text], normalize: bool, deadline: float, truncation: TruncationSide
    ) -> Embeddings:
        """As `embed`, after the model, whose limits are a call's, was asked for once."""
        async with self._asking:
            if self._model is None:
                self._model = await self._embedder.model(deadline)
        return await self.embed(texts, normalize, deadline, truncation)

    def _start_calls(self) -> None:
        if len(self._under_way) == self._calls:
            return
        self._drop_unwanted()
        while self._waiting and len(self._under_way) < self._calls:
            task = asyncio.create_task(self._run(self._next_call()))
            self._under_way.add(task)
            task.add_done_callback(self._call_ended)

    def _drop_unwanted(self) -> None:
        """Forgets requests whose deadline has passed, though their callers may not have had their turn to notice."""
        now = asyncio.get_running_loop().time()
        for request in [request for request in self._waiting if not request.is_wanted(now)]:
            del self._waiting[request]

    def _call_ended(self, task: "asyncio.Task[None]") -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            self._start_calls()

    def _next_call(self) -> Call:
        """Texts of the group whose turn it is: the one that was served longest ago, and then the oldest."""
        group = min((request.group for request in self._waiting), key=lambda group: self._served.get(group, 0))
        requests = [request for request in self._waiting if request.group == group]
        max_texts = (self._model.max_batch_size if self._model else 0) or _MAX_TEXTS
        small = {request for request in requests if request.is_small}
        call = fill(requests, CallLimits(self._tokens, max_texts), asyncio.get_running_loop().time(), self._short)
        self._short = len(call) > 1 and any(request in small for request, _ in call)
        self._call_number += 1
        self._served[group] = self._call_number
        for request, _ in call:
            if not request.waiting:
                del self._waiting[request]
        return call

    async def _run(self, call: Call) -> None:
        """Answers or fails each request of the call; raises nothing."""
        try:
            await self._serve(call)
        except Exception:
            LOG.exception("unexpected error in a call to the engine")
            for request, _ in call:
                request.fail(EngineFailed("The service failed on a call to the engine; the reason is in its log."))

    async def _serve(self, call: Call) -> None:
        """Sends the call; where it fails on one request's texts, sends the others' again without them.

        A text that the engine names is left out alone. Where it does not say which, the call is halved until the
        request at fault is alone; where more than one seems to be, the engine itself is, and all that are left fail.
        """
        tries = 2 * len(call).bit_length()
        left = [call]
        while left:
            now = asyncio.get_running_loop().time()
            part = [(request, places) for request, places in left.pop() if request.is_wanted(now)]
            if not part:
                continue
            try:
                await self._send(part)
            except (EngineFailed, InvalidText) as error:
                guilty = _requests_with(error.text, part) if isinstance(error, InvalidText) else []
                if guilty:
                    left.append([each for each in part if each[0] not in guilty])
                else:
                    tries -= 1
                    if len(part) > 1 and tries > 0:
                        left.extend(reversed(halves(part)))
                    else:
                        guilty = [request for request, _ in part]
                for request in guilty:
                    request.fail(error)
            except EmbeddingError as error:
                for request, _ in part:
                    request.fail(error)

    async def _send(self, call: Call) -> None:
        """One call to the engine, and what came back to each request."""
        first = call[0][0]
        texts = [request.texts[place] for request, places in call for place in places]
        deadline = max(request.deadline for request, _ in call)
        self._tell_call(len(texts))
        for request, _ in call:
            request.begin()
        # A task of its own, started by whichever request or call came before.
        with called_for([request.caller for request, _ in call]):
            answer = await self._embedder.embed(texts, first.normalize, deadline, first.truncation)
        self._model = answer.model
        self._costs.learn(texts, answer.token_counts)
        start = 0
        for request, places in call:
            request.put(places, answer.piece(start, start + len(places)), answer.stages)
            start += len(places)
            if request.waiting and not request.done.done():
                self._waiting.setdefault(request)


def _requests_with(text: object, call: Call) -> list[PendingRequest]:
    """Those that sent this text, in this call."""
    return [request for request, places in call if any(request.texts[place] == text for place in places)]

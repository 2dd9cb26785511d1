"""The embedding service as a backend asks it: over HTTP, with a timeout, and again while it is not ready."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import httpx
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError
from tqdm import tqdm

from examples.recipe_search.errors import ServiceRefused, ServiceUnavailable, VersionChanged
from examples.recipe_search.settings import Settings

BATCH = 100  # texts, the most that /api/v1/embed-batch takes
PAUSE_SECONDS = 1.0  # before it is asked again, where its answer names no time


class Vectors(NamedTuple):
    """Unit vectors, float32 `[N, D]`, in the order of their texts, and the version that they all are of."""

    rows: NDArray[np.float32]
    version: str


class _Batch(BaseModel):
    """The answer of `/api/v1/embed-batch`."""

    embeddings: list[list[float]]
    dim: int
    version: str
    count: int


class _One(BaseModel):
    """The answer of `/api/v1/embed`."""

    embedding: list[float]
    dim: int
    version: str


class EmbeddingClient:
    """Keeps its connections, and is to be closed.

    Its methods raise `ServiceUnavailable`, where asking again later may help, and `ServiceRefused`.
    """

    def __init__(
        self,
        settings: Settings,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        key = settings.ml_api_key.get_secret_value()
        self._url = str(settings.ml_inference_url).rstrip("/")
        self._settings = settings
        self._sleep = sleep
        self._client = httpx.Client(
            base_url=self._url,
            timeout=settings.ml_timeout,
            headers={"X-API-Key": key} if key else {},
            transport=transport,
        )

    def close(self) -> None:
        self._client.close()

    def embed(self, text: str) -> Vectors:
        """The vector of one text of at most 1,000 characters, `[1, D]`."""
        answer = self._ask("/api/v1/embed", {"text": text, "normalize": True}, _One)
        return self._checked([answer.embedding], 1, answer.dim, answer.version)

    def embed_batch(self, texts: Sequence[str]) -> Vectors:
        """The vectors of 1 to `BATCH` texts."""
        answer = self._ask("/api/v1/embed-batch", {"texts": list(texts), "normalize": True}, _Batch)
        if answer.count != len(texts):
            raise ServiceRefused(f"the embedding service counts {answer.count} texts, and {len(texts)} were sent")
        return self._checked(answer.embeddings, len(texts), answer.dim, answer.version)

    def embed_all(self, texts: Sequence[str], show_progress: bool = False) -> Vectors:
        """The vectors of at least one text, batch by batch; with a progress bar on standard error.

        Raises `VersionChanged` where the batches' versions differ.
        """
        batches: list[Vectors] = []
        with tqdm(total=len(texts), unit=" recipes", disable=not show_progress) as bar:
            for batch in _batches(texts):
                batches.append(self.embed_batch(batch))
                first, last = batches[0].version, batches[-1].version
                if first != last:
                    raise VersionChanged(
                        f"the embedding service went from version {first} to {last} in the middle, and their vectors "
                        "cannot be compared; nothing was stored: index again"
                    )
                bar.update(len(batch))
        return Vectors(np.concatenate([batch.rows for batch in batches]), batches[0].version)

    def _ask(self, path: str, body: dict[str, Any], kind: Any) -> Any:
        response = self._post(path, body)
        if response.status_code == httpx.codes.UNAUTHORIZED:
            raise ServiceRefused("the embedding service asks for a key: set ML_API_KEY")
        if response.status_code != httpx.codes.OK:
            raise ServiceRefused(f"the embedding service answered {response.status_code}: {_detail(response)}")
        try:
            return kind.model_validate_json(response.content)
        except ValidationError:
            raise ServiceRefused(
                f"{self._url} answers, and not as the embedding service: is it ML_INFERENCE_URL?"
            ) from None

    def _post(self, path: str, body: dict[str, Any]) -> httpx.Response:
        """An answer that is not 503 or 504. What takes too long is not asked again: the service was busy with it."""
        for left in range(self._settings.ml_retries, -1, -1):
            pause = PAUSE_SECONDS
            try:
                response = self._client.post(path, json=body)
            except httpx.TimeoutException:
                seconds = f"{self._settings.ml_timeout:g} s (ML_TIMEOUT)"
                raise ServiceUnavailable(f"the embedding service at {self._url} did not answer in {seconds}") from None
            except httpx.TransportError as error:
                problem = f"no embedding service at {self._url} ({error}): start it, or set ML_INFERENCE_URL"
            else:
                if response.status_code == httpx.codes.GATEWAY_TIMEOUT:
                    raise ServiceUnavailable(f"the embedding service was too slow: {_detail(response)}")
                if response.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                    return response
                problem = f"the embedding service is not ready: {_detail(response)}"
                pause = _retry_after(response)
            if left:
                self._sleep(min(pause, self._settings.ml_timeout))
        raise ServiceUnavailable(problem)

    @staticmethod
    def _checked(rows: list[list[float]], count: int, dim: int, version: str) -> Vectors:
        lengths = {len(row) for row in rows}
        if len(rows) != count or lengths != {dim}:
            raise ServiceRefused(
                f"the embedding service announced {count} vectors of {dim} dimensions and sent {len(rows)} of {lengths}"
            )
        return Vectors(np.array(rows, np.float32), version)


def _batches(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    return (texts[start : start + BATCH] for start in range(0, len(texts), BATCH))


def _retry_after(response: httpx.Response) -> float:
    """Seconds that a 503 asks to wait; a date, which it may also be, counts as none named."""
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isdecimal() else PAUSE_SECONDS


def _detail(response: httpx.Response) -> str:
    """The service's own sentence, or its first one for a request that it does not take."""
    try:
        detail = response.json()["detail"]
        return detail if isinstance(detail, str) else str(detail[0]["msg"])
    except (ValueError, TypeError, LookupError):
        return response.reason_phrase

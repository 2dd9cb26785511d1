"""`python -m examples.korean_queries`: asks the running service, and prints what each query finds; `make search`.

ML_INFERENCE_URL is the service's address, and ML_API_KEY its key where it asks for one.
"""

import json
import os
import sys
import urllib.request
from collections.abc import Sequence
from typing import Any
from urllib.error import HTTPError, URLError

import numpy as np
from numpy.typing import NDArray

from bench.texts import recipe_lines
from examples.recipe_search.recipes import catalogue

QUERIES = (
    "갈비탕",
    "아이 간식으로 좋은 달콤한 빵",
    "새우가 들어간 태국 요리",
    "생일 파티에 어울리는 케이크",
    "소화가 잘되는 부드러운 죽",
    "막걸리와 어울리는 안주",
    "더운 여름에 먹는 차가운 국수",
    "남은 밥으로 뚝딱 만드는 한 그릇",
    "술 마신 다음 날 속이 풀리는 국물",
    "겨울 길거리 간식",
)
BATCH = 100  # texts, the most that /api/v1/embed-batch takes
SHOWN = 3
_SECONDS = 30


class ServiceFailed(Exception):
    """The service cannot be reached, or refuses; the message is one sentence."""


def embed(url: str, key: str, texts: Sequence[str]) -> tuple[NDArray[np.float32], str]:
    """Unit vectors `[N, D]` of the texts, and their version. Raises `ServiceFailed`."""
    answers = [_post(url, key, texts[start : start + BATCH]) for start in range(0, len(texts), BATCH)]
    rows = [row for answer in answers for row in answer["embeddings"]]
    versions = {answer["version"] for answer in answers}
    if len(versions) > 1:
        raise ServiceFailed(f"{url} changed its model meanwhile, from {' to '.join(sorted(versions))}: ask again")
    return np.array(rows, np.float32), versions.pop()


def _post(url: str, key: str, texts: Sequence[str]) -> Any:
    headers = {"Content-Type": "application/json", **({"X-API-Key": key} if key else {})}
    body = json.dumps({"texts": list(texts), "normalize": True}).encode()
    try:
        request = urllib.request.Request(f"{url}/api/v1/embed-batch", body, headers)
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
            return json.load(answer)
    except HTTPError as error:
        detail = error.read(500).decode("utf-8", "replace")
        raise ServiceFailed(f"{url} answers {error.code}: {detail}") from None
    except (OSError, ValueError) as error:
        reason = error.reason if isinstance(error, URLError) else error
        told = getattr(reason, "strerror", None) or reason
        raise ServiceFailed(f"{url} cannot be reached ({told}): start it with `make run`") from None


def main() -> int:
    """Exit code 1 where the service cannot be asked."""
    url = os.environ.get("ML_INFERENCE_URL") or "http://localhost:8001"
    key = os.environ.get("ML_API_KEY", "")
    recipes = catalogue(len(recipe_lines()))
    try:
        entries, version = embed(url.rstrip("/"), key, [recipe.text for recipe in recipes])
        queries, _ = embed(url.rstrip("/"), key, QUERIES)
    except ServiceFailed as error:
        print(f"error: {error}.", file=sys.stderr)
        return 1
    print(f"{len(recipes)} recipes, each its name and a sentence; {version}")
    for query, cosines in zip(QUERIES, queries @ entries.T, strict=True):
        nearest = np.argsort(-cosines)[:SHOWN]
        print(f"{query} → {', '.join(recipes[place].title for place in nearest)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

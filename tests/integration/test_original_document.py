"""What the original service's document tells its users to do, done against this service."""

import asyncio
import json
import logging
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.conftest import Served, running_service

logger = logging.getLogger(__name__)

# The document's lines, as they stand there.
CURLS = {
    "health": "curl http://localhost:8001/health",
    "embed": r"""curl -X POST http://localhost:8001/api/v1/embed \
  -H "Content-Type: application/json" \
  -d '{"text": "갈비탕", "normalize": true}'""",
    "embed-batch": r"""curl -X POST http://localhost:8001/api/v1/embed-batch \
  -H "Content-Type: application/json" \
  -d '{"texts": ["갈비탕", "김치찌개", "된장찌개"], "normalize": true}'""",
    "model-info": "curl http://localhost:8001/api/v1/model-info",
    "compose": "curl -fsS http://localhost:8001/health",
}


def run_curl(line: str, served: Served) -> Any:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    command = shlex.split(line.replace("\\\n", " ").replace("http://localhost:8001", served.service.proxy))
    done = subprocess.run([*command, "--silent", "--show-error"], capture_output=True, check=True, timeout=30)
    return json.loads(done.stdout)


def test_health(multilingual_model: Served) -> None:
    for name in ("health", "compose"):
        answer = run_curl(CURLS[name], multilingual_model)
        assert answer.keys() == {"status", "model", "dim", "version"}
        assert (answer["status"], answer["model"], answer["dim"]) == ("ok", "multilingual-e5-small", 384)


def test_one_text(multilingual_model: Served) -> None:
    answer = run_curl(CURLS["embed"], multilingual_model)
    assert answer.keys() == {"embedding", "dim", "version"}
    assert len(answer["embedding"]) == answer["dim"] == 384
    assert all(isinstance(component, float) for component in answer["embedding"])


def test_a_batch(multilingual_model: Served) -> None:
    answer = run_curl(CURLS["embed-batch"], multilingual_model)
    assert answer.keys() == {"embeddings", "dim", "version", "count"}
    assert [len(vector) for vector in answer["embeddings"]] == [384] * 3
    assert answer["count"] == 3
    assert answer["embeddings"][0] == pytest.approx(run_curl(CURLS["embed"], multilingual_model)["embedding"], abs=1e-6)


def test_model_info(multilingual_model: Served) -> None:
    answer = run_curl(CURLS["model-info"], multilingual_model)
    assert answer.keys() == {"model_name", "dimension", "version", "device", "prompt"}
    assert answer["prompt"] == "query: "
    assert (answer["model_name"], answer["dimension"], answer["device"]) == ("multilingual-e5-small", 384, "cpu")
    assert "multilingual-e5-small" in answer["version"]


def test_the_backends_own_code(multilingual_model: Served) -> None:
    ML_INFERENCE_URL = multilingual_model.service.proxy  # noqa: N806
    ML_TIMEOUT = 30.0  # noqa: N806
    query = "얼큰한 찌개"

    async def call() -> tuple[Any, Any]:
        async with httpx.AsyncClient(timeout=ML_TIMEOUT) as client:
            response = await client.post(
                f"{ML_INFERENCE_URL}/api/v1/embed",
                json={"text": query, "normalize": True}
            )  # fmt: skip
            response.raise_for_status()
            result = response.json()
            embedding = result["embedding"]
            dim = result["dim"]
        return embedding, dim

    embedding, dim = asyncio.run(call())
    assert embedding == pytest.approx(multilingual_model.original.encode(query).tolist(), abs=1e-5)
    assert dim == 384


def test_the_backends_error_handling(small_build: Path, small_stand_in: Path) -> None:
    """The document's `except` branches: an HTTP error from a service without its model ends in the middle one."""
    seen: list[str] = []

    async def embed(client: httpx.AsyncClient, url: str, query: str) -> Any:
        try:
            response = await client.post(
                f"{url}/api/v1/embed",
                json={"text": query, "normalize": True}
            )  # fmt: skip
            response.raise_for_status()
            return response.json()["embedding"]
        except httpx.TimeoutException:
            seen.append("ML 서비스 타임아웃")
            return None
        except httpx.HTTPStatusError as e:
            seen.append(f"ML 서비스 HTTP 에러: {e.response.status_code}")
            return None
        except Exception as e:
            seen.append(f"ML 서비스 호출 실패: {e}")
            return None

    async def call(url: str) -> None:
        async with httpx.AsyncClient(timeout=30.0) as client:
            assert await embed(client, url, "") is None
            assert len(await embed(client, url, "갈비탕")) == 64

    with running_service(small_build, MODEL=str(small_stand_in)) as service:
        asyncio.run(call(service.proxy))
    assert seen == ["ML 서비스 HTTP 에러: 422"]

"""Which folder may import what: the table of docs/architecture.md, held."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
SETTINGS = {"pydantic", "pydantic_core", "pydantic_settings"}

ALLOWED = {
    "bench": SETTINGS
    | {
        "bench", "export", "fastapi", "google", "matplotlib", "numpy", "runtime", "sentence_transformers", "tests",
        "tokenizers", "torch", "transformers", "tritonclient", "uvicorn",
    },
    "reliability": {
        "aiohttp", "bench", "grpc", "hypothesis", "numpy", "orjson", "reliability", "requests",
        "schemathesis", "tests", "tokenizers", "tritonclient", "uvloop",
    },
    "examples": SETTINGS
    | {
        "bench", "examples", "fastapi", "httpx", "numpy", "pgvector", "psycopg", "tqdm", "uvicorn",
    },
    "model_repository": {
        "cutting", "mean_pooling", "numpy", "tokenization", "tokenizers", "triton_python_backend_utils",
    },
    "export": SETTINGS
    | {
        "export", "google", "huggingface_hub", "numpy", "safetensors", "sentencepiece", "tokenizers", "torch",
        "transformers", "tritonclient",
    },
    "runtime": SETTINGS | {"runtime"},
    "runtime/backends": {"encoder_kernels", "numpy", "torch", "triton_python_backend_utils"},
    "proxy": SETTINGS
    | {
        "async_timeout", "cachetools", "fastapi", "httptools", "msgspec", "numpy", "opentelemetry",
        "orjson", "prometheus_client", "proxy", "starlette", "tritonclient", "uvicorn",
    },
}  # fmt: skip


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None and node.level == 0:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("folder", ALLOWED)
def test_a_folder_imports_only_what_the_table_allows(folder: str) -> None:
    nested = [PROJECT / other for other in ALLOWED if other.startswith(f"{folder}/")]
    files = [
        path for path in (PROJECT / folder).rglob("*.py") if not any(path.is_relative_to(other) for other in nested)
    ]
    assert files
    for path in files:
        outside = set(imported(path)) - ALLOWED[folder] - sys.stdlib_module_names
        assert not outside, f"{path.relative_to(PROJECT)} imports {', '.join(sorted(outside))}"

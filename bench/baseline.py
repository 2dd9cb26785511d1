"""The baseline, `python -m bench.baseline PORT FOLDER`: the service that this project replaces, as it is described.

FastAPI around one SentenceTransformer, loaded at the start; a batch is encoded text by text; torch's threads are left
as they come; one uvicorn worker. Nothing is slowed down on purpose.
"""

import sys
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel, Field


# What that service accepts; the tests' reference (tests/contract/reference_app.py) takes the same.
class EmbedRequest(BaseModel):
    text: str = Field(min_length=1, max_length=1000)
    normalize: bool = True


class EmbedBatchRequest(BaseModel):
    texts: list[str] = Field(min_length=1, max_length=100)
    normalize: bool = True


def baseline_app(model: Any, name: str) -> FastAPI:
    """The application around a SentenceTransformer."""
    app = FastAPI()

    def encode(text: str, normalize: bool) -> list[float]:
        vector = model.encode(text, normalize_embeddings=normalize, show_progress_bar=False)
        values: list[float] = vector.tolist()
        return values

    @app.post("/api/v1/embed")
    async def embed(request: EmbedRequest) -> dict[str, Any]:
        embedding = encode(request.text, request.normalize)
        return {"embedding": embedding, "dim": len(embedding), "version": name}

    @app.post("/api/v1/embed-batch")
    async def embed_batch(request: EmbedBatchRequest) -> dict[str, Any]:
        embeddings = [encode(text, request.normalize) for text in request.texts]
        return {"embeddings": embeddings, "dim": len(embeddings[0]), "version": name, "count": len(embeddings)}

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok", "model": name}

    return app


def main() -> None:
    from sentence_transformers import SentenceTransformer  # seconds to import, and the tests need the fields alone

    port, folder = int(sys.argv[1]), sys.argv[2]
    model = SentenceTransformer(folder, device="cpu")
    uvicorn.run(baseline_app(model, folder), host="127.0.0.1", port=port)


if __name__ == "__main__":
    main()

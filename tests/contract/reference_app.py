"""The service that the proxy stands in for, as small as the contract describes it: FastAPI around one encode function.

In the differential test the function is a fake; against the running service it is SentenceTransformer itself.
"""

from collections.abc import Callable, Sequence
from typing import Any

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

from bench.baseline import EmbedBatchRequest, EmbedRequest

# Texts and `normalize` to one vector for each text, as anything that numpy can make rows of.
Encode = Callable[[Sequence[str], bool], Any]


class EmbedResponse(BaseModel):
    embedding: list[float]
    dim: int
    version: str


class EmbedBatchResponse(BaseModel):
    embeddings: list[list[float]]
    dim: int
    version: str
    count: int


def reference_app(encode: Encode, model_name: str, dimension: int) -> FastAPI:
    """The application. `dimension`: components of a vector."""
    # FastAPI of that service's time read a body without a Content-Type as JSON.
    app = FastAPI(strict_content_type=False)
    version = f"{model_name}-reference"

    @app.post("/api/v1/embed", response_model=EmbedResponse)
    def embed(request: EmbedRequest) -> Any:
        try:
            vector = encode([request.text], request.normalize)[0]
        except Exception as error:
            raise HTTPException(500, "embedding failed") from error
        return {"embedding": [float(value) for value in vector], "dim": len(vector), "version": version}

    @app.post("/api/v1/embed-batch", response_model=EmbedBatchResponse)
    def embed_batch(request: EmbedBatchRequest) -> Any:
        try:
            # One by one, as there.
            vectors = [[float(value) for value in encode([text], request.normalize)[0]] for text in request.texts]
        except Exception as error:
            raise HTTPException(500, "embedding failed") from error
        return {"embeddings": vectors, "dim": len(vectors[0]), "version": version, "count": len(vectors)}

    @app.get("/api/v1/model-info")
    def model_info() -> Any:
        return {"model_name": model_name, "dimension": dimension, "version": version, "device": "cpu"}

    @app.get("/health")
    def health() -> Any:
        return {"status": "ok", "model": model_name, "dim": dimension, "version": version}

    return app

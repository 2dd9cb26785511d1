"""The routes that probes ask: whether the process runs, and whether a text sent now would be embedded."""

from fastapi import APIRouter, Request, Response

from proxy.api.schemas.embed import HealthResponse, LiveResponse
from proxy.contract import HEALTH, LIVE, READY
from proxy.embedding.heartbeat import Heartbeat
from proxy.errors import EmbeddingError
from proxy.responses import failure, json_answer, note_failure


def make_health_routes(heartbeat: Heartbeat) -> APIRouter:
    """The routes. All answer at once, whatever else is under way."""
    routes = APIRouter()

    @routes.get(
        LIVE,
        summary="Whether the process runs",
        response_model=LiveResponse,
        response_description="It does.",
        tags=["model"],
    )
    async def live() -> Response:
        """Says ok while the process runs; Triton is no part of it. When it does not answer, start the proxy again."""
        return json_answer({"status": "ok"})

    @routes.get(
        READY,
        summary="Whether every step answers, and rightly",
        response_model=HealthResponse,
        response_description="A text sent now would be embedded.",
        tags=["model"],
    )
    @routes.get(
        HEALTH,
        summary="Whether a text can be embedded now",
        response_model=HealthResponse,
        response_description="A text sent now would be embedded.",
        tags=["model"],
    )
    async def health(request: Request) -> Response:
        """Says ok only while a text sent now would be embedded.

        Each second the service embeds a text through every step, and compares the vector with the one that the model's
        export says; the answer is the outcome of the latest such check. Asks for no API key.
        """
        try:
            model = await heartbeat.model()
        except EmbeddingError as error:
            # Whatever the reason, the answer to "are you well" is one status.
            note_failure(request, str(error), type(error))
            return failure(str(error), 503)
        return json_answer({"status": "ok", "model": model.name, "dim": model.dimension, "version": model.version})

    return routes

"""The route that Prometheus scrapes."""

from fastapi import APIRouter, Response

from proxy.contract import METRICS
from proxy.telemetry.metrics import CONTENT_TYPE, Metrics


def make_metrics_route(metrics: Metrics) -> APIRouter:
    """What Prometheus scrapes: outside of the schema, whose answers are all JSON."""
    routes = APIRouter()

    @routes.get(METRICS, include_in_schema=False)
    async def exposition() -> Response:
        return Response(metrics.exposition(), media_type=CONTENT_TYPE)

    return routes

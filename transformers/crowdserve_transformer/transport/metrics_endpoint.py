"""Prometheus metrics over HTTP: on a port of their own, so that who may read them is a matter of the network."""

from prometheus_client import REGISTRY, exposition
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

METRICS_PATH = "/metrics"


def create_metrics_app() -> Starlette:
    """An application with the metrics and nothing else."""
    app = Starlette(routes=[metrics_route()])
    app.router.redirect_slashes = False  # a redirect would repeat the caller's Host
    return app


def metrics_route() -> Route:
    """The path of the metrics."""
    return Route(METRICS_PATH, metrics, methods=["GET"])


async def metrics(request: Request) -> Response:
    """Prometheus metrics."""
    encoder, content_type = exposition.choose_encoder(request.headers.get("accept", ""))
    return Response(encoder(REGISTRY), headers={"content-type": content_type})

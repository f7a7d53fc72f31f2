"""Metrics have a port of their own, which serves nothing else; on the REST port they are only by wish."""

import httpx
import pytest

from crowdserve.local.service import EmbeddedService
from tests.support.transformers import StartTransformer

pytestmark = pytest.mark.e2e

SERIES = "\ncrowdserve_requests_in_flight "


def test_the_rest_port_has_no_metrics(client: httpx.Client, small_service: EmbeddedService) -> None:
    assert client.get(f"{small_service.http_url}/metrics").status_code == 404


def test_the_metrics_port_has_nothing_else(client: httpx.Client, small_service: EmbeddedService) -> None:
    reply = client.get(small_service.metrics_url)
    assert reply.status_code == 200
    assert SERIES in reply.text
    base = small_service.metrics_url.removesuffix("/metrics")
    for path in ("/", "/v2", "/v2/health/live", "/v2/health/ready", "/v1/models", "/openapi.json"):
        assert client.get(base + path).status_code == 404
    assert client.post(f"{base}/v2/models/crowdserve/infer", json={}).status_code == 404
    assert client.post(small_service.metrics_url).status_code == 405


def test_metrics_share_the_rest_port_by_wish(client: httpx.Client, start_transformer: StartTransformer) -> None:
    with start_transformer("127.0.0.1:9", metrics_port=0) as running:
        assert SERIES in client.get(f"{running.http_url}/metrics").text

"""Metadata, health and metrics of the running service."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

import crowdserve
from crowdserve.local.service import EmbeddedService
from crowdserve.protocol.zones import EXAMPLE
from tests.support.photos import gray_photo
from tests.support.requests import json_body

pytestmark = pytest.mark.e2e


def test_metadata(client: httpx.Client, small_service: EmbeddedService) -> None:
    url = f"{small_service.http_url}/v2/models/crowdserve"
    metadata = client.get(url).json()
    assert (metadata["name"], metadata["versions"]) == ("crowdserve", [crowdserve.__version__])
    assert metadata["inputs"] == [{"name": "image", "datatype": "BYTES", "shape": [-1, 1]}]
    assert metadata["parameters"]["image_forms"] == {"BYTES": [-1], "UINT8": [-1, -1, -1, 3]}
    assert client.get(f"{url}/versions/{crowdserve.__version__}").json() == metadata


def test_outputs_match_the_metadata(client: httpx.Client, small_service: EmbeddedService, infer_url: str) -> None:
    metadata = client.get(f"{small_service.http_url}/v2/models/crowdserve").json()
    everything = {"outputs": [{"name": output["name"]} for output in metadata["outputs"]]}
    everything["parameters"] = {"counter": "average", "zones": EXAMPLE}
    response = client.post(infer_url, json=json_body(gray_photo(), gray_photo(60), **everything)).json()
    assert response["model_version"] in metadata["versions"]
    for described, output in zip(metadata["outputs"], response["outputs"], strict=True):
        assert (output["name"], output["datatype"]) == (described["name"], described["datatype"])
        assert len(output["shape"]) == len(described["shape"])
        for axis, length in zip(output["shape"], described["shape"], strict=True):
            assert length in {-1, axis}


def test_server_metadata_and_health(client: httpx.Client, small_service: EmbeddedService) -> None:
    server = client.get(f"{small_service.http_url}/v2").json()
    assert server["version"] == crowdserve.__version__
    assert server["extensions"] == ["binary_tensor_data", "parameters", "model_configuration", "statistics"]
    for version in ("v1", "v2"):
        assert client.get(f"{small_service.http_url}/{version}/models").json() == {"models": ["crowdserve"]}
    for path in (
        "/",
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/models/crowdserve/ready",
        "/v1/models/crowdserve",
    ):
        assert client.get(small_service.http_url + path).status_code == 200


def test_metrics_have_status_route_model_and_stage(
    client: httpx.Client, small_service: EmbeddedService, infer_url: str
) -> None:
    def metrics() -> dict[str, float]:
        lines = client.get(small_service.metrics_url).text.splitlines()
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if not line.startswith("#")}

    before = metrics()
    client.post(infer_url, json=json_body(gray_photo(), gray_photo(), parameters={"route": "sparse", "heatmap": True}))
    client.post(infer_url, json=json_body(b"not an image"))
    client.post(infer_url, json=json_body(gray_photo(), parameters={"route": "made up"}))
    after = metrics()

    def rise(name: str) -> float:
        return after[name] - before.get(name, 0.0)

    labels = 'model="crowdserve",protocol="v2-rest"'
    assert rise(f'crowdserve_requests_total{{{labels},route="sparse",status="200",traffic="public"}}') == 1
    assert rise(f'crowdserve_requests_total{{{labels},route="auto",status="400",traffic="public"}}') == 1
    assert rise(f'crowdserve_requests_total{{{labels},route="unknown",status="400",traffic="public"}}') == 1
    assert rise('crowdserve_pictures_total{route="sparse"}') == 2
    assert rise("crowdserve_picture_megapixels_count") == 2
    assert rise('crowdserve_request_seconds_count{protocol="v2-rest"}') == 3
    assert rise('crowdserve_triton_seconds_count{model="crowd_sparse",outcome="ok"}') == 2
    for stage, times in {"parse": 3, "decode": 2, "scene": 2, "count": 2, "heatmap": 2, "encode": 1}.items():
        assert rise(f'crowdserve_stage_seconds_count{{stage="{stage}"}}') == times
    assert after["crowdserve_requests_in_flight"] == 0
    assert not any("made up" in name for name in after)


def test_health_is_answered_while_images_are_decoded(
    client: httpx.Client, small_service: EmbeddedService, infer_url: str
) -> None:
    large = gray_photo(200, 4000, 4000)
    with ThreadPoolExecutor(1) as pool, httpx.Client(timeout=120, trust_env=False) as other:
        answer = pool.submit(other.post, infer_url, json=json_body(*[large] * 4))
        answered = 0
        while not answer.done():
            assert client.get(f"{small_service.http_url}/v2/health/live").status_code == 200
            answered += 1
    assert answer.result().status_code == 200
    assert answered >= 10

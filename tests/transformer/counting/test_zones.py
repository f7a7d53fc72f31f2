"""Zones through every protocol of the running service."""

import asyncio
import base64
import io
import json
import re

import httpx
import numpy as np
import pytest
from kserve import InferenceGRPCClient, InferInput, InferRequest, InferResponse
from PIL import Image

from crowdserve.local.service import EmbeddedService
from crowdserve.protocol.zones import described, make_zone
from tests.support.photos import encoded, expected_count
from tests.support.requests import binary_body, infer, json_body, outputs_of

pytestmark = pytest.mark.e2e

LEFT = {"name": "left", "polygon": [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]}
RIGHT_PX = {"name": "right", "polygon_px": [[48, 0], [96, 0], [96, 80], [48, 80]]}
ZONES = [LEFT, RIGHT_PX]
ALL = expected_count(200, 96, 80, route="dense") / 2
"""People in a picture of 96x80 px of which the left half is bright, and the right one black."""


def half_bright(width: int = 96, height: int = 80) -> Image.Image:
    picture = np.zeros((height, width, 3), np.uint8)
    picture[:, : width // 2] = 200
    return Image.fromarray(picture)


PHOTO = encoded(half_bright(), "PNG")


def parameters(zones: object = ZONES, **others: object) -> dict[str, object]:
    return {"route": "dense", "zones": zones, **others}


def test_v2_json(infer_url: str) -> None:
    outputs = infer(infer_url, PHOTO, parameters=parameters())
    assert outputs["zone_names"] == ["left", "right"]
    assert outputs["zone_counts"] == pytest.approx([ALL, 0], abs=1e-4)
    assert "density" not in outputs


def test_zones_as_text(infer_url: str) -> None:
    assert infer(infer_url, PHOTO, parameters=parameters(json.dumps(ZONES)))["zone_names"] == ["left", "right"]


def test_v2_binary_with_two_photos(client: httpx.Client, infer_url: str) -> None:
    turned = encoded(half_bright().transpose(Image.Transpose.FLIP_LEFT_RIGHT), "PNG")
    body, headers = binary_body([PHOTO, turned], parameters=parameters(binary_data_output=True))
    response = client.post(infer_url, content=body, headers=headers)
    assert response.status_code == 200, response.text
    length = int(response.headers["inference-header-content-length"])
    shapes = {o["name"]: o["shape"] for o in json.loads(response.content[:length])["outputs"]}
    assert shapes["zone_names"] == shapes["zone_counts"] == [2, 2]
    counts = np.frombuffer(response.content[-16:], "<f4")
    assert counts == pytest.approx([ALL, 0, 0, ALL], abs=1e-4)


def test_v1(client: httpx.Client, small_service: EmbeddedService) -> None:
    instance = {"image_bytes": {"b64": base64.b64encode(PHOTO).decode()}}
    body = {"instances": [instance, instance], "parameters": parameters()}
    response = client.post(f"{small_service.http_url}/v1/models/crowdserve:predict", json=body)
    assert response.status_code == 200, response.text
    for prediction in response.json()["predictions"]:
        assert prediction["zone_names"] == ["left", "right"]
        assert prediction["zone_counts"] == pytest.approx([ALL, 0], abs=1e-4)


def test_grpc(small_service: EmbeddedService) -> None:
    async def answer() -> InferResponse:
        grpc_client = InferenceGRPCClient(small_service.grpc_url, timeout=120, retries=0)
        image = InferInput(name="image", shape=[1], datatype="BYTES", data=[PHOTO])
        try:
            return await grpc_client.infer(
                InferRequest(model_name="crowdserve", infer_inputs=[image], parameters=parameters(json.dumps(ZONES)))
            )
        finally:
            await grpc_client.close()

    found = asyncio.run(answer())
    assert found.get_output_by_name("zone_names").shape == [1, 2]
    assert found.get_output_by_name("zone_names").as_numpy().ravel().tolist() == [b"left", b"right"]
    assert found.get_output_by_name("zone_counts").as_numpy() == pytest.approx(np.array([[ALL, 0]]), abs=1e-4)


def test_client(small_service: EmbeddedService) -> None:
    from crowdserve.client.service import ServiceClient

    zones = [make_zone("left", LEFT["polygon"]), make_zone("right", RIGHT_PX["polygon_px"], in_px=True)]
    assert described(zones) == ZONES
    with ServiceClient(small_service.http_url, use_proxy=False) as service:
        counted = service.count(PHOTO, route="dense", zones=zones)
        assert counted.zones == pytest.approx({"left": ALL, "right": 0}, abs=1e-4)
        assert service.count(PHOTO).zones == {}


@pytest.mark.parametrize("counter", ["csrnet", "ssdcnet", "average"])
@pytest.mark.parametrize("route", ["dense", "sparse", "blend"])
def test_partition_sums_to_the_count(infer_url: str, counter: str, route: str) -> None:
    thirds = [
        {"name": str(i), "polygon": [[i / 3, 0], [(i + 1) / 3, 0], [(i + 1) / 3, 1], [i / 3, 1]]} for i in range(3)
    ]
    photo = encoded(half_bright(93, 77), "PNG")
    outputs = infer(infer_url, photo, parameters={"counter": counter, "route": route, "zones": thirds})
    assert sum(outputs["zone_counts"]) == pytest.approx(outputs["count"][0], abs=1e-3)


def test_pixels_are_counted_after_the_photo_is_turned_upright(infer_url: str) -> None:
    """Stored on its side, 80 px wide and 96 px high; a viewer shows 96x80 px with the bright half on the left."""
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = encoded(half_bright().transpose(Image.Transpose.ROTATE_90), "PNG", exif=exif)
    assert infer(infer_url, stored, parameters=parameters())["zone_counts"] == pytest.approx([ALL, 0], abs=1e-4)


def test_pixels_of_a_photo_that_is_scaled_down(infer_url: str) -> None:
    """4096 px wide: counted at 2048 px, with zones in the 4096."""
    left = {"name": "left", "polygon_px": [[0, 0], [2048, 0], [2048, 800], [0, 800]]}
    for file_format in ("PNG", "JPEG"):
        photo = encoded(half_bright(4096, 800), file_format)
        outputs = infer(infer_url, photo, parameters=parameters([left]))
        assert outputs["zone_counts"][0] == pytest.approx(outputs["count"][0], rel=5e-3)


def test_raw_pixels(client: httpx.Client, infer_url: str) -> None:
    body, headers = binary_body(np.asarray(half_bright())[np.newaxis], parameters=parameters())
    outputs = outputs_of(client.post(infer_url, content=body, headers=headers))
    assert outputs["zone_counts"] == pytest.approx([ALL, 0], abs=1e-4)


def test_zones_are_drawn(infer_url: str) -> None:
    def drawn(**chosen: object) -> np.ndarray:
        outputs = infer(infer_url, PHOTO, parameters={"route": "dense", "heatmap": True, **chosen})
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(outputs["heatmap"][0]))))

    changed = (drawn() != drawn(zones=ZONES)).any(axis=2)
    assert changed[:, 46:49].all()
    assert not changed[4:20, 54:88].any()


def test_only_the_outputs_asked_for_and_those_of_the_zones(infer_url: str) -> None:
    outputs = infer(infer_url, PHOTO, parameters=parameters(), outputs=[{"name": "zone_counts"}])
    assert list(outputs) == ["zone_counts", "zone_names"]


@pytest.mark.parametrize(
    ("zones", "message"),
    [
        ([], r"'zones' is \[\]"),
        (7, "'zones' is 7"),
        ([LEFT, LEFT], "2 zones are called 'left'"),
        (
            [{"name": "far", "polygon_px": [[97, 0], [99, 0], [99, 9]]}],
            "zone 'far' lies outside the picture of 96x80 px: its x is between 1.01042 and 1.03125 of the side",
        ),
    ],
)
def test_refusals(client: httpx.Client, infer_url: str, zones: object, message: str) -> None:
    response = client.post(infer_url, json=json_body(PHOTO, parameters=parameters(zones)))
    assert response.status_code == 400
    assert re.match(message, response.json()["error"])


def test_zone_outputs_need_zones(client: httpx.Client, infer_url: str) -> None:
    response = client.post(infer_url, json=json_body(PHOTO, outputs=[{"name": "zone_counts"}]))
    assert response.status_code == 400
    assert response.json()["error"].startswith("output 'zone_counts' needs the parameter 'zones', for instance [")

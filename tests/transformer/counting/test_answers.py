"""Responses of the running service over REST: a real Triton, the real transformer, plain HTTP."""

import base64
import hashlib
import io
import json
import re
import time
from collections.abc import Sequence
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from crowdserve.cards import CARDS, COUNTERS, ENSEMBLES, ROUTES, VGG16, SceneRoute
from crowdserve.local.service import EmbeddedService
from crowdserve.protocol.tensors import OUTPUTS, count_name
from crowdserve.scene.names import FILE_NAME
from tests.support.photos import expected_count, gray_photo
from tests.support.requests import infer, json_body
from tests.support.versions import told
from tests.support.waiting import wait_for

pytestmark = pytest.mark.e2e


def members(route: SceneRoute, counters: Sequence[str] = COUNTERS) -> list[str]:
    """Names of the networks of a route."""
    return [card.name for card in ENSEMBLES[route].members if card.family in counters]


def cell_px(counters: Sequence[str]) -> int:
    """Side of the smallest cells of some counters."""
    return min(card.geometry.output_stride or 0 for card in CARDS.values() if card.family in counters)


def executions(client: httpx.Client, service: EmbeddedService) -> dict[str, int]:
    """The number of executions of each network in Triton's metrics, which count after the answer."""
    text = client.get(f"http://{service.triton.metrics_url}/metrics").text
    found = re.findall(r'^nv_inference_exec_count\{model="(\w+)",.*\} (\d+)', text, re.MULTILINE)
    return {name: int(number) for name, number in found if name in CARDS}


@pytest.mark.parametrize(("value", "scene"), [(200, "dense"), (60, "sparse")])
def test_photo_is_counted_by_the_networks_of_its_scene(
    infer_url: str, value: int, scene: SceneRoute, small_repository: Path
) -> None:
    outputs = infer(infer_url, gray_photo(value), parameters={"counter": "average"})
    assert set(outputs) == {name for name, tensor in OUTPUTS.items() if not tensor.optional}
    assert outputs["count"] == pytest.approx([expected_count(value, counter="average")], rel=1e-5)
    for counter in COUNTERS:
        assert outputs[count_name(counter)] == pytest.approx([expected_count(value, counter=counter)], rel=1e-5)
    assert (outputs["scene"], outputs["route"]) == ([scene], [scene])
    assert 0.5 <= outputs["scene_probability"][0] <= 1
    sha256 = hashlib.sha256((small_repository / VGG16.name / "1" / FILE_NAME).read_bytes()).hexdigest()
    models = json.loads(outputs["models"][0])
    assert models == {"vgg16": told(), "scene_classifier": sha256[:12], **dict.fromkeys(members(scene), told())}


def test_first_counter_is_the_default(infer_url: str) -> None:
    outputs = infer(infer_url, gray_photo())
    assert {name for name in outputs if name.startswith("count_")} == {count_name(COUNTERS[0])}
    assert outputs["count"] == outputs[count_name(COUNTERS[0])] == pytest.approx([expected_count()], rel=1e-5)


@pytest.mark.parametrize(("width", "height"), [(96, 80), (93, 77), (1, 1), (65, 64), (640, 9)])
def test_padding_is_not_counted(infer_url: str, width: int, height: int) -> None:
    expected = expected_count(255, width, height)
    assert infer(infer_url, gray_photo(255, width, height))["count"] == pytest.approx([expected], rel=1e-5)


def test_large_photo_is_scaled_down(infer_url: str) -> None:
    side = CARDS["csrnet_a"].geometry.max_side_px
    assert infer(infer_url, gray_photo(255, 2 * side, 100))["count"] == pytest.approx(
        [expected_count(255, side, 50)], rel=1e-5
    )


def test_counts_are_not_rounded(infer_url: str) -> None:
    (count,) = infer(infer_url, gray_photo(1, 8, 8), parameters={"counter": "csrnet"})["count"]
    assert count == pytest.approx(0.25 / 255, rel=1e-4)


def test_route_can_be_chosen(infer_url: str) -> None:
    for route in ("dense", "sparse"):
        outputs = infer(infer_url, gray_photo(200), parameters={"route": route})
        assert outputs["count"] == pytest.approx([expected_count(200, route=route)], rel=1e-5)
        assert (outputs["scene"], outputs["route"]) == (["dense"], [route])


def test_blend_weights_routes_by_scene_probability(infer_url: str) -> None:
    outputs = infer(infer_url, gray_photo(150), parameters={"route": "blend", "counter": "average", "density": True})
    p_dense = outputs["scene_probability"][0]
    assert outputs["scene"] == ["dense"]
    dense, sparse = (expected_count(150, route=route, counter="average") for route in ROUTES)
    expected = p_dense * dense + (1 - p_dense) * sparse
    assert outputs["count"] == pytest.approx([expected], rel=1e-5)
    assert sum(outputs["density"]) == pytest.approx(expected, rel=1e-5)
    assert outputs["route"] == ["dense+sparse"]
    networks = {*members("dense"), *members("sparse")}
    assert set(json.loads(outputs["models"][0])) == {"vgg16", "scene_classifier"} | networks


@pytest.mark.parametrize("counter", [*COUNTERS, "average"])
def test_counter_can_be_chosen(infer_url: str, counter: str) -> None:
    outputs = infer(infer_url, gray_photo(), parameters={"counter": counter})
    ran = COUNTERS if counter == "average" else [counter]
    assert {name for name in outputs if name.startswith("count_")} == {count_name(family) for family in ran}
    for family in ran:
        assert outputs[count_name(family)] == pytest.approx([expected_count(counter=family)], rel=1e-5)
    assert outputs["count"] == pytest.approx([expected_count(counter=counter)], rel=1e-5)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("counter", [*COUNTERS, "average"])
def test_triton_runs_only_the_requested_networks(
    infer_url: str, small_service: EmbeddedService, client: httpx.Client, route: SceneRoute, counter: str
) -> None:
    time.sleep(0.1)  # for what was answered before
    before = executions(client, small_service)
    outputs = infer(
        infer_url, gray_photo(), parameters={"route": route, "counter": counter}, outputs=[{"name": "models"}]
    )
    ran = members(route, COUNTERS if counter == "average" else (counter,))
    expected = {name: number + int(name in ran) for name, number in before.items()}
    wait_for(lambda: executions(client, small_service) == expected)
    assert set(json.loads(outputs["models"][0])) == set(ran)


@pytest.mark.parametrize(("width", "height"), [(93, 77), (40, 200), (1, 1)])
def test_count_of_a_counter_does_not_depend_on_other_counters(infer_url: str, width: int, height: int) -> None:
    together = infer(infer_url, gray_photo(200, width, height), parameters={"counter": "average"})
    for counter in COUNTERS:
        alone = infer(infer_url, gray_photo(200, width, height), parameters={"counter": counter})
        assert alone["count"] == pytest.approx(together[count_name(counter)], rel=1e-6)


@pytest.mark.parametrize("counter", [*COUNTERS, "average"])
@pytest.mark.parametrize(("width", "height"), [(104, 80), (93, 77), (130, 66)])
def test_density_map_has_the_cells_of_its_counter(infer_url: str, counter: str, width: int, height: int) -> None:
    outputs = infer(infer_url, gray_photo(255, width, height), parameters={"counter": counter, "density": True})
    stride = cell_px(COUNTERS if counter == "average" else (counter,))
    assert outputs["density_shape"] == [-(-height // stride), -(-width // stride)]
    assert sum(outputs["density"]) == pytest.approx(outputs["count"][0], rel=1e-5)


def test_batch_of_different_sizes(client: httpx.Client, infer_url: str) -> None:
    sizes = [(200, 96, 80), (60, 40, 200), (255, 8, 8)]
    body = json_body(*(gray_photo(*size) for size in sizes), parameters={"density": True})
    response = client.post(infer_url, json=body).json()
    tensors = {o["name"]: np.reshape(o["data"], o["shape"]) for o in response["outputs"]}
    assert tensors["count"] == pytest.approx([expected_count(*size) for size in sizes], rel=1e-5)
    assert tensors["scene"].tolist() == ["dense", "sparse", "dense"]
    assert tensors["density_shape"].tolist() == [[10, 12], [25, 5], [1, 1]]
    assert tensors["density_cell_px"].tolist() == [[8, 8]] * 3
    assert tensors["density"].shape == (3, 25, 12)
    assert tensors["density"].sum(axis=(1, 2)) == pytest.approx(tensors["count"], rel=1e-5)
    assert not tensors["density"][2, 1:].any()
    assert not tensors["density"][2, :, 1:].any()


def test_overlay_has_the_size_of_the_photo(infer_url: str) -> None:
    outputs = infer(infer_url, gray_photo(200, 93, 77), outputs=[{"name": "heatmap"}])
    assert set(outputs) == {"heatmap"}
    with Image.open(io.BytesIO(base64.b64decode(outputs["heatmap"][0]))) as picture:
        assert (picture.format, picture.size) == ("PNG", (93, 77))
        assert (np.asarray(picture)[..., :3] != 200).any()


def test_only_requested_outputs_are_computed(infer_url: str) -> None:
    outputs = infer(
        infer_url, gray_photo(), outputs=[{"name": "models"}, {"name": "count"}], parameters={"route": "sparse"}
    )
    assert list(outputs) == ["models", "count"]
    assert json.loads(outputs["models"][0]) == dict.fromkeys(members("sparse", COUNTERS[:1]), told())


def test_request_id_is_returned(client: httpx.Client, infer_url: str) -> None:
    photo = gray_photo()
    own = client.post(infer_url, json=json_body(photo, id="mine"), headers={"x-request-id": "header"})
    assert (own.json()["id"], own.headers["x-request-id"]) == ("mine", "header")
    header = client.post(infer_url, json=json_body(photo), headers={"x-request-id": "header"})
    assert header.json()["id"] == "header"
    new = [client.post(infer_url, json=json_body(photo)) for _ in range(2)]
    assert len({response.json()["id"] for response in new} | {""}) == 3
    assert all(response.json()["id"] == response.headers["x-request-id"] for response in new)

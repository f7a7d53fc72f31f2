"""The running service over REST: a real Triton, the real transformer, plain HTTP."""

import base64
import hashlib
import io
import json
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

import crowdserve
from crowdserve.cards import CARDS, COUNTERS, ENSEMBLES, ROUTES, VGG16, Route
from crowdserve.scene_files import FILE_NAME
from crowdserve.service import EmbeddedService
from crowdserve_transformer.tensors import OUTPUTS, count_name

pytestmark = pytest.mark.e2e

Call = Callable[..., Any]


def members(route: Route, counters: Sequence[str] = COUNTERS) -> list[str]:
    """Names of the networks of a route."""
    return [card.name for card in ENSEMBLES[route].members if card.family in counters]


def cell_px(counters: Sequence[str]) -> int:
    """Side of the cells of the finest of some counters."""
    return min(card.geometry.output_stride or 0 for card in CARDS.values() if card.family in counters)


def executions(client: httpx.Client, service: EmbeddedService) -> dict[str, int]:
    """How often Triton has run each network, by its metrics."""
    text = client.get(f"http://{service.triton.metrics_url}/metrics").text
    found = re.findall(r'^nv_inference_exec_count\{model="(\w+)",.*\} (\d+)', text, re.MULTILINE)
    return {name: int(number) for name, number in found}


@pytest.fixture(scope="module")
def infer(client: httpx.Client, infer_url: str, json_body: Call, outputs_of: Call) -> Call:
    """`infer(file, …, **message)`: the outputs of a v2 JSON request, by name."""
    return lambda *files, **message: outputs_of(client.post(infer_url, json=json_body(*files, **message)))


class TestAnswer:
    @pytest.mark.parametrize(("value", "scene"), [(200, "dense"), (60, "sparse")])
    def test_a_photo_is_counted_by_the_networks_of_its_scene(
        self, infer: Call, gray_photo: Call, people: Call, value: int, scene: Route, small_repository: Path
    ) -> None:
        outputs = infer(gray_photo(value), parameters={"counter": "average"})
        assert set(outputs) == {name for name, tensor in OUTPUTS.items() if not tensor.optional}
        assert outputs["count"] == pytest.approx([people(value, counter="average")], rel=1e-5)
        for counter in COUNTERS:
            assert outputs[count_name(counter)] == pytest.approx([people(value, counter=counter)], rel=1e-5)
        assert (outputs["scene"], outputs["route"]) == ([scene], [scene])
        assert 0.5 <= outputs["scene_probability"][0] <= 1
        sha256 = hashlib.sha256((small_repository / VGG16.name / "1" / FILE_NAME).read_bytes()).hexdigest()
        models = json.loads(outputs["models"][0])
        assert models == {"vgg16": "1", "scene_classifier": sha256[:12], **dict.fromkeys(members(scene), "1")}

    def test_the_first_counter_answers_alone_unless_another_is_asked_for(
        self, infer: Call, gray_photo: Call, people: Call
    ) -> None:
        outputs = infer(gray_photo())
        assert {name for name in outputs if name.startswith("count_")} == {count_name(COUNTERS[0])}
        assert outputs["count"] == outputs[count_name(COUNTERS[0])] == pytest.approx([people()], rel=1e-5)

    @pytest.mark.parametrize(("width", "height"), [(96, 80), (93, 77), (1, 1), (65, 64), (640, 9)])
    def test_padding_is_not_counted(self, infer: Call, gray_photo: Call, people: Call, width: int, height: int) -> None:
        expected = people(255, width, height)
        assert infer(gray_photo(255, width, height))["count"] == pytest.approx([expected], rel=1e-5)

    def test_a_large_photo_is_fitted(self, infer: Call, gray_photo: Call, people: Call) -> None:
        side = CARDS["csrnet_a"].geometry.max_side_px
        assert infer(gray_photo(255, 2 * side, 100))["count"] == pytest.approx([people(255, side, 50)], rel=1e-5)

    def test_counts_are_not_cut_to_whole_people(self, infer: Call, gray_photo: Call) -> None:
        (count,) = infer(gray_photo(1, 8, 8), parameters={"counter": "csrnet"})["count"]
        assert count == pytest.approx(0.25 / 255, rel=1e-4)

    def test_a_route_can_be_chosen(self, infer: Call, gray_photo: Call, people: Call) -> None:
        for route in ("dense", "sparse"):
            outputs = infer(gray_photo(200), parameters={"route": route})
            assert outputs["count"] == pytest.approx([people(200, route=route)], rel=1e-5)
            assert (outputs["scene"], outputs["route"]) == (["dense"], [route])

    def test_blend_weights_both_routes_by_the_scenes_probability(
        self, infer: Call, gray_photo: Call, people: Call
    ) -> None:
        outputs = infer(gray_photo(150), parameters={"route": "blend", "counter": "average", "density": True})
        p_dense = outputs["scene_probability"][0]
        assert outputs["scene"] == ["dense"]
        dense, sparse = (people(150, route=route, counter="average") for route in ROUTES)
        expected = p_dense * dense + (1 - p_dense) * sparse
        assert outputs["count"] == pytest.approx([expected], rel=1e-5)
        assert sum(outputs["density"]) == pytest.approx(expected, rel=1e-5)
        assert outputs["route"] == ["dense+sparse"]
        networks = {*members("dense"), *members("sparse")}
        assert set(json.loads(outputs["models"][0])) == {"vgg16", "scene_classifier"} | networks

    @pytest.mark.parametrize("counter", [*COUNTERS, "average"])
    def test_a_counter_can_be_chosen(self, infer: Call, gray_photo: Call, people: Call, counter: str) -> None:
        outputs = infer(gray_photo(), parameters={"counter": counter})
        ran = COUNTERS if counter == "average" else [counter]
        assert {name for name in outputs if name.startswith("count_")} == {count_name(family) for family in ran}
        for family in ran:
            assert outputs[count_name(family)] == pytest.approx([people(counter=family)], rel=1e-5)
        assert outputs["count"] == pytest.approx([people(counter=counter)], rel=1e-5)

    @pytest.mark.parametrize("route", ROUTES)
    @pytest.mark.parametrize("counter", [*COUNTERS, "average"])
    def test_triton_runs_the_networks_that_are_asked_for_and_no_other(
        self, infer: Call, gray_photo: Call, small_service: EmbeddedService, client: httpx.Client, route: Route,
        counter: str,
    ) -> None:  # fmt: skip
        before = executions(client, small_service)
        outputs = infer(gray_photo(), parameters={"route": route, "counter": counter}, outputs=[{"name": "models"}])
        ran = members(route, COUNTERS if counter == "average" else (counter,))
        after = executions(client, small_service)
        assert {name: after[name] - before[name] for name in CARDS} == {name: int(name in ran) for name in CARDS}
        assert set(json.loads(outputs["models"][0])) == set(ran)

    @pytest.mark.parametrize(("width", "height"), [(93, 77), (40, 200), (1, 1)])
    def test_a_counters_count_does_not_depend_on_who_else_counts(
        self, infer: Call, gray_photo: Call, width: int, height: int
    ) -> None:
        together = infer(gray_photo(200, width, height), parameters={"counter": "average"})
        for counter in COUNTERS:
            alone = infer(gray_photo(200, width, height), parameters={"counter": counter})
            assert alone["count"] == pytest.approx(together[count_name(counter)], rel=1e-6)

    @pytest.mark.parametrize("counter", [*COUNTERS, "average"])
    @pytest.mark.parametrize(("width", "height"), [(104, 80), (93, 77), (130, 66)])
    def test_the_density_is_the_map_of_the_counter_on_its_own_cells(
        self, infer: Call, gray_photo: Call, counter: str, width: int, height: int
    ) -> None:
        outputs = infer(gray_photo(255, width, height), parameters={"counter": counter, "density": True})
        stride = cell_px(COUNTERS if counter == "average" else (counter,))
        assert outputs["density_shape"] == [-(-height // stride), -(-width // stride)]
        assert sum(outputs["density"]) == pytest.approx(outputs["count"][0], rel=1e-5)

    def test_a_batch_of_different_sizes(self, client: httpx.Client, infer_url: str, json_body: Call, gray_photo: Call,
                                        people: Call) -> None:  # fmt: skip
        sizes = [(200, 96, 80), (60, 40, 200), (255, 8, 8)]
        body = json_body(*(gray_photo(*size) for size in sizes), parameters={"density": True})
        response = client.post(infer_url, json=body).json()
        tensors = {o["name"]: np.reshape(o["data"], o["shape"]) for o in response["outputs"]}
        assert tensors["count"] == pytest.approx([people(*size) for size in sizes], rel=1e-5)
        assert tensors["scene"].tolist() == ["dense", "sparse", "dense"]
        assert tensors["density_shape"].tolist() == [[10, 12], [25, 5], [1, 1]]
        assert tensors["density"].shape == (3, 25, 12)
        assert tensors["density"].sum(axis=(1, 2)) == pytest.approx(tensors["count"], rel=1e-5)
        assert not tensors["density"][2, 1:].any()
        assert not tensors["density"][2, :, 1:].any()

    def test_the_overlay_is_as_large_as_the_photo(self, infer: Call, gray_photo: Call) -> None:
        outputs = infer(gray_photo(200, 93, 77), outputs=[{"name": "heatmap"}])
        assert set(outputs) == {"heatmap"}
        with Image.open(io.BytesIO(base64.b64decode(outputs["heatmap"][0]))) as picture:
            assert (picture.format, picture.size) == ("PNG", (93, 77))
            assert (np.asarray(picture)[..., :3] != 200).any()

    def test_only_what_is_asked_for_is_returned_and_run(self, infer: Call, gray_photo: Call) -> None:
        outputs = infer(gray_photo(), outputs=[{"name": "models"}, {"name": "count"}], parameters={"route": "sparse"})
        assert list(outputs) == ["models", "count"]
        assert json.loads(outputs["models"][0]) == dict.fromkeys(members("sparse", COUNTERS[:1]), "1")

    def test_ids(self, client: httpx.Client, infer_url: str, json_body: Call, gray_photo: Call) -> None:
        photo = gray_photo()
        own = client.post(infer_url, json=json_body(photo, id="mine"), headers={"x-request-id": "header"})
        assert (own.json()["id"], own.headers["x-request-id"]) == ("mine", "header")
        header = client.post(infer_url, json=json_body(photo), headers={"x-request-id": "header"})
        assert header.json()["id"] == "header"
        new = [client.post(infer_url, json=json_body(photo)) for _ in range(2)]
        assert len({response.json()["id"] for response in new} | {""}) == 3
        assert all(response.json()["id"] == response.headers["x-request-id"] for response in new)


class TestForms:
    def test_pixels_in_json(self, client: httpx.Client, infer_url: str, outputs_of: Call, people: Call) -> None:
        pixels = np.full((1, 16, 24, 3), 200)
        for data in (pixels.ravel().tolist(), pixels.tolist()):
            image = {"name": "image", "datatype": "UINT8", "shape": [1, 16, 24, 3], "data": data}
            outputs = outputs_of(client.post(infer_url, json={"inputs": [image]}))
            assert outputs["count"] == pytest.approx([people(200, 24, 16)], rel=1e-5)

    @pytest.mark.parametrize("in_binary", [True, False])
    def test_the_binary_extension(self, client: httpx.Client, infer_url: str, binary_body: Call, gray_photo: Call,
                                  people: Call, in_binary: bool) -> None:  # fmt: skip
        pixels = np.full((2, 80, 96, 3), 200, np.uint8)
        for images in (pixels, [gray_photo(), gray_photo(file_format="BMP")]):
            body, headers = binary_body(images, parameters={"binary_data_output": in_binary})
            response = client.post(infer_url, content=body, headers=headers)
            assert response.status_code == 200, response.text
            length = int(response.headers.get("inference-header-content-length", len(response.content)))
            assert (length < len(response.content)) is in_binary
            described = {o["name"]: o for o in json.loads(response.content[:length])["outputs"]}
            counts = described["count"]
            assert counts["shape"] == [2]
            found = np.frombuffer(response.content[length : length + 8], "<f4") if in_binary else counts["data"]
            assert found == pytest.approx([people()] * 2, rel=1e-5)

    def test_v1(self, client: httpx.Client, small_service: EmbeddedService, gray_photo: Call, people: Call) -> None:
        instances = [{"image_bytes": {"b64": base64.b64encode(gray_photo(value)).decode()}} for value in (200, 60)]
        body = {"instances": instances, "parameters": {"counter": "average", "density": True, "heatmap": True}}
        response = client.post(f"{small_service.http_url}/v1/models/crowdserve:predict", json=body)
        assert response.status_code == 200, response.text
        dense, sparse = response.json()["predictions"]
        expected = people(200, counter="average"), people(60, counter="average")
        assert (dense["count"], sparse["count"]) == pytest.approx(expected, rel=1e-5)
        assert (dense["scene"], sparse["scene"]) == ("dense", "sparse")
        assert set(members("dense")) < set(dense["models"])
        assert set(members("sparse")) < set(sparse["models"])
        assert np.shape(dense["density"]) == (10, 12)
        assert base64.b64decode(sparse["heatmap"]["b64"]).startswith(b"\x89PNG")


def encoded(picture: Image.Image, file_format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, format=file_format, **options)
    return file.getvalue()


def gray_picture(mode: str) -> Image.Image:
    return Image.new("RGB", (96, 80), (200,) * 3).convert(mode)


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(Image.new("RGB", (80, 200), (200,) * 3), "JPEG", exif=exif)


class TestPictures:
    @pytest.mark.parametrize(
        "file",
        [
            pytest.param(encoded(gray_picture("RGB"), "JPEG"), id="jpeg"),
            pytest.param(encoded(gray_picture("RGB"), "JPEG", progressive=True), id="progressive"),
            pytest.param(encoded(gray_picture("L"), "JPEG"), id="grayscale"),
            pytest.param(encoded(gray_picture("CMYK"), "JPEG"), id="cmyk"),
            pytest.param(encoded(gray_picture("P"), "PNG"), id="palette"),
            pytest.param(encoded(gray_picture("P"), "GIF"), id="gif"),
            pytest.param(encoded(gray_picture("RGBA"), "PNG"), id="alpha"),
            pytest.param(encoded(gray_picture("LA"), "PNG"), id="grayscale-alpha"),
            pytest.param(encoded(Image.fromarray(np.full((80, 96), 200 * 257, np.uint16)), "PNG"), id="16-bit"),
            pytest.param(encoded(gray_picture("RGB"), "WEBP"), id="webp"),
            pytest.param(encoded(gray_picture("RGB"), "TIFF"), id="tiff"),
        ],
    )
    def test_every_kind_of_picture_counts_the_same(self, infer: Call, people: Call, file: bytes) -> None:
        assert infer(file)["count"] == pytest.approx([people()], rel=0.02)

    def test_a_turned_photo_is_counted_upright(self, client: httpx.Client, infer_url: str, json_body: Call) -> None:
        response = client.post(infer_url, json=json_body(turned(), outputs=[{"name": "density"}])).json()
        (density,) = response["outputs"]
        assert density["shape"] == [1, 80 // 8, 200 // 8]

    @pytest.mark.parametrize(
        ("file", "status", "message"),
        [
            (b"", 400, "empty"),
            (b"no picture", 400, "no picture"),
            (encoded(gray_picture("RGB"), "JPEG")[:300], 400, "send the complete file"),
            (encoded(gray_picture("RGB"), "PNG")[:60], 400, "send the complete file"),
            (encoded(Image.new("1", (12_000, 12_000)), "PNG"), 413, "12000x12000 px.*scale it down"),
        ],
    )
    def test_a_bad_picture_is_refused(
        self, client: httpx.Client, infer_url: str, json_body: Call, gray_photo: Call, file: bytes, status: int,
        message: str,
    ) -> None:  # fmt: skip
        response = client.post(infer_url, json=json_body(file))
        assert response.status_code == status
        assert httpx.codes.is_client_error(response.status_code)
        (error,) = response.json().items()
        assert error[0] == "error"
        assert re.search(message, error[1])
        second = client.post(infer_url, json=json_body(gray_photo(), file)).json()["error"]
        assert second == f"picture 2 of 2: {error[1]}"


class TestRefusal:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"inputs": []}, "expected exactly one, 'image'"),
            ({"inputs": [{"name": "x", "datatype": "BYTES", "shape": [1], "data": ["AA=="]}]}, "'image'"),
            ({"inputs": [{"name": "image", "datatype": "FP32", "shape": [1], "data": [1.0]}]}, "BYTES .* or UINT8"),
            ({"inputs": [{"name": "image", "datatype": "BYTES", "shape": [2], "data": ["AA=="]}]}, "1 elements"),
            ({"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": ["%"]}]}, "not base64"),
            ({"inputs": [{"name": "image", "datatype": "UINT8", "shape": [1, 1, 1, 3], "data": [1, 2, 999]}]}, "255"),
            ({"inputs": [{"name": "image", "datatype": "UINT8", "shape": [1, 3], "data": [1, 2, 3]}]}, "height"),
            ({"parameters": {"mode": "fast"}}, "unknown parameter 'mode'; known are route, counter"),
            ({"parameters": {"route": "fast"}}, "one of auto, dense"),
            ({"parameters": {"density": "yes"}}, "true or false"),
            ({"outputs": [{"name": "people"}]}, "unknown output 'people'; known are count"),
        ],
    )
    def test_a_bad_request_is_told_why(
        self, client: httpx.Client, infer_url: str, json_body: Call, gray_photo: Call, change: dict[str, Any],
        message: str,
    ) -> None:  # fmt: skip
        response = client.post(infer_url, json={**json_body(gray_photo()), **change})
        assert response.status_code == 400
        assert re.search(message, response.json()["error"])

    @pytest.mark.parametrize("content", [b"", b"{", b"\xff\xd8\xff", b'"text"', b"[" * 100_000])
    def test_a_body_that_is_no_request(self, client: httpx.Client, infer_url: str, content: bytes) -> None:
        for url in (infer_url, infer_url.replace("/v2/", "/v1/").replace("/infer", ":predict")):
            response = client.post(url, content=content)
            assert response.status_code == 400
            assert response.json()["error"]

    def test_a_compressed_body(self, client: httpx.Client, infer_url: str) -> None:
        response = client.post(infer_url, content=b"x", headers={"content-encoding": "gzip"})
        assert response.status_code == 400
        assert "send the body uncompressed" in response.json()["error"]

    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            ("GET", "/v2/models/other", 404),
            ("POST", "/v2/models/other/infer", 404),
            ("POST", "/v1/models/other:predict", 404),
            ("GET", "/v2/models/crowdserve/versions/99", 404),
            ("POST", "/v2/models/crowdserve/versions/99/infer", 404),
            ("GET", "/v2/models/crowdserve/infer", 405),
            ("POST", "/v1/models/crowdserve:explain", 405),
            ("POST", "/v2/repository/models/crowdserve/load", 404),
            ("POST", "/v2/repository/models/crowdserve/unload", 404),
            ("POST", "/v2/repository/index", 404),
            ("GET", "/docs", 404),
        ],
    )
    def test_what_is_not_here(
        self, client: httpx.Client, small_service: EmbeddedService, method: str, path: str, status: int
    ) -> None:
        response = client.request(method, small_service.http_url + path)
        assert response.status_code == status
        assert response.json()["error"]
        assert client.get(f"{small_service.http_url}/v2/models/crowdserve/ready").status_code == 200


class TestDescription:
    def test_metadata(self, client: httpx.Client, small_service: EmbeddedService) -> None:
        url = f"{small_service.http_url}/v2/models/crowdserve"
        metadata = client.get(url).json()
        assert (metadata["name"], metadata["versions"]) == ("crowdserve", [crowdserve.__version__])
        assert metadata["inputs"] == [{"name": "image", "datatype": "BYTES", "shape": [-1]}]
        assert metadata["parameters"]["image_forms"] == {"BYTES": [-1], "UINT8": [-1, -1, -1, 3]}
        assert client.get(f"{url}/versions/{crowdserve.__version__}").json() == metadata

    def test_answers_are_as_the_metadata_says(
        self, client: httpx.Client, small_service: EmbeddedService, infer_url: str, json_body: Call, gray_photo: Call
    ) -> None:
        metadata = client.get(f"{small_service.http_url}/v2/models/crowdserve").json()
        everything = {"outputs": [{"name": output["name"]} for output in metadata["outputs"]]}
        everything["parameters"] = {"counter": "average"}
        response = client.post(infer_url, json=json_body(gray_photo(), gray_photo(60), **everything)).json()
        assert response["model_version"] in metadata["versions"]
        for described, output in zip(metadata["outputs"], response["outputs"], strict=True):
            assert (output["name"], output["datatype"]) == (described["name"], described["datatype"])
            assert len(output["shape"]) == len(described["shape"])
            for axis, length in zip(output["shape"], described["shape"], strict=True):
                assert length in {-1, axis}

    def test_the_service_describes_itself(self, client: httpx.Client, small_service: EmbeddedService) -> None:
        server = client.get(f"{small_service.http_url}/v2").json()
        assert server["version"] == crowdserve.__version__
        assert server["extensions"] == ["binary_tensor_data"]
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


def test_metrics_tell_status_route_model_and_stage(
    client: httpx.Client, small_service: EmbeddedService, infer_url: str, json_body: Call, gray_photo: Call
) -> None:
    def metrics() -> dict[str, float]:
        lines = client.get(f"{small_service.http_url}/metrics").text.splitlines()
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if not line.startswith("#")}

    before = metrics()
    client.post(infer_url, json=json_body(gray_photo(), gray_photo(), parameters={"route": "sparse", "heatmap": True}))
    client.post(infer_url, json=json_body(b"no picture"))
    client.post(infer_url, json=json_body(gray_photo(), parameters={"route": "made up"}))
    after = metrics()

    def rise(name: str) -> float:
        return after[name] - before.get(name, 0.0)

    labels = 'model="crowdserve",protocol="v2-rest"'
    assert rise(f'crowdserve_requests_total{{{labels},route="sparse",status="200"}}') == 1
    assert rise(f'crowdserve_requests_total{{{labels},route="auto",status="400"}}') == 1
    assert rise(f'crowdserve_requests_total{{{labels},route="unknown",status="400"}}') == 1
    assert rise('crowdserve_pictures_total{route="sparse"}') == 2
    assert rise("crowdserve_picture_megapixels_count") == 2
    assert rise('crowdserve_request_seconds_count{protocol="v2-rest"}') == 3
    assert rise('crowdserve_triton_seconds_count{model="crowd_sparse",outcome="ok"}') == 2
    for stage, times in {"parse": 3, "decode": 3, "scene": 2, "count": 2, "heatmap": 2, "encode": 1}.items():
        assert rise(f'crowdserve_stage_seconds_count{{stage="{stage}"}}') == times
    assert after["crowdserve_requests_in_flight"] == 0
    assert not any("made up" in name for name in after)


def test_health_is_answered_while_pictures_are_decoded(
    client: httpx.Client, small_service: EmbeddedService, infer_url: str, json_body: Call, gray_photo: Call
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

import numpy as np
import pytest
from kserve import InferInput, InferRequest
from kserve.protocol.infer_type import RequestedOutput

from crowdserve.errors import ImageTooLarge, InvalidRequest
from crowdserve_transformer.counting.request import read_request
from crowdserve_transformer.settings import Settings

SETTINGS = Settings(max_batch_size=3)


def request(datatype: str, shape: list[int], data: object, **changes: object) -> InferRequest:
    image = InferInput(name="image", shape=shape, datatype=datatype, data=data)
    return InferRequest(**{"model_name": "crowdserve", "infer_inputs": [image], "parameters": {}, **changes})


@pytest.mark.parametrize("shape", [[2], [2, 1], [-1], [-1, 1]])
def test_files_are_read(shape: list[int]) -> None:
    assert read_request(request("BYTES", shape, [b"a", b"b"]), SETTINGS, {}).images == (b"a", b"b")


def test_pixels_are_views() -> None:
    pixels = np.arange(2 * 4 * 5 * 3, dtype=np.uint8)
    images = read_request(request("UINT8", [2, 4, 5, 3], pixels), SETTINGS, {}).images
    assert [image.shape for image in images] == [(4, 5, 3), (4, 5, 3)]
    assert all(np.shares_memory(image, pixels) for image in images)


@pytest.mark.parametrize(("shape", "images"), [([4, 5, 3], 1), ([-1, 4, 5, 3], 1), ([-1, 2, 5, 3], 2)])
def test_pixels_of_one_image_need_no_axis_for_it_and_any_number_may_be_left_open(shape: list[int], images: int) -> None:
    found = read_request(request("UINT8", shape, np.arange(60, dtype=np.uint8)), SETTINGS, {}).images
    assert [image.shape for image in found] == [(4 // images, 5, 3)] * images


OF_ONE_TENSOR = [
    ({"shared_memory_region": "a", "shared_memory_byte_size": 4}, "is in shared memory, which this service does not"),
    ({"classification": 2}, "asked for as classes, which no output has; leave out classification"),
    ({"route": "dense"}, "'route' is a parameter of .*; send it in the parameters of the request"),
]


@pytest.mark.parametrize(("parameters", "message"), OF_ONE_TENSOR)
def test_what_one_tensor_cannot_be_asked_for_is_refused(parameters: dict[str, object], message: str) -> None:
    output = RequestedOutput("count", dict(parameters))
    with pytest.raises(InvalidRequest, match=f"output 'count' .*{message}|{message}"):
        read_request(request("BYTES", [1], [b"a"], request_outputs=[output]), SETTINGS, {})
    image = InferInput("image", [1], "BYTES", [b"a"], dict(parameters))
    with pytest.raises(InvalidRequest, match=message):
        read_request(request("BYTES", [1], [], infer_inputs=[image]), SETTINGS, {})


@pytest.mark.parametrize(
    "parameters",
    [
        {"content_type": "base64"},
        {"classification": 0},
        {"binary_data": True},
        {"binary_data_size": 5},
        dict.fromkeys(("shared_memory_region", "shared_memory_offset", "classification", "route", "heatmap")),
    ],
)
def test_what_means_nothing_here_is_passed_over(parameters: dict[str, object]) -> None:
    image, output = InferInput("image", [1], "BYTES", [b"a"], dict(parameters)), RequestedOutput("count", parameters)
    read = read_request(request("BYTES", [1], [], infer_inputs=[image], request_outputs=[output]), SETTINGS, {})
    assert read.images == (b"a",)


def test_parameters_that_are_null_are_not_set() -> None:
    nulls = dict.fromkeys(("route", "counter", "density", "heatmap", "zones", "binary_data_output"))
    chosen = read_request(request("BYTES", [1], [b"a"], parameters=nulls), SETTINGS, {}).choices
    assert chosen == read_request(request("BYTES", [1], [b"a"]), SETTINGS, {}).choices


@pytest.mark.parametrize(
    ("datatype", "shape", "data", "message"),
    [
        ("FP32", [1, 4, 4, 3], None, "datatype 'FP32'; expected BYTES .* or UINT8"),
        ("BYTES", [], [], r"shape \[\]; expected \[N\] or \[N, 1\]"),
        ("BYTES", [1, 2], [b"a", b"b"], r"shape \[1, 2\]"),
        ("BYTES", [1, 1, 1], [b"a"], "shape"),
        ("BYTES", [0], [], "holds no image"),
        ("BYTES", [2], [b"a"], r"shape \[2\] but 1 elements"),
        ("FP32", [1, 4, 4, 3], None, "UINT8 .RGB pixels from 0 to 255.: convert it"),
        ("BYTES", [-1, 2], [b"a", b"b"], r"shape \[-1, 2\]; expected \[N\] or \[N, 1\]"),
        ("BYTES", [-1], [], "holds no image"),
        (
            "UINT8",
            [1, 4, 5, 4],
            np.zeros(80, np.uint8),
            r"expected \[N, height, width, 3\].*: leave the fourth channel",
        ),
        ("UINT8", [4, 5, 4], np.zeros(80, np.uint8), "leave the fourth channel out"),
        ("UINT8", [1, 3, 4, 5], np.zeros(60, np.uint8), "in the last axis: move the colours there"),
        ("UINT8", [3, 4, 5], np.zeros(60, np.uint8), "move the colours there"),
        ("UINT8", [4, 5], np.zeros(20, np.uint8), "repeat greys three times"),
        ("UINT8", [1, 4, 5, 1], np.zeros(20, np.uint8), "repeat greys three times"),
        ("UINT8", [80], np.zeros(80, np.uint8), "a file's bytes are sent as BYTES"),
        ("UINT8", [-1, 0, 5, 3], np.zeros(0, np.uint8), r"expected \[N, height, width, 3\]"),
        ("UINT8", [-1, 4, 5, 3], np.zeros(59, np.uint8), "holds no image"),
        ("UINT8", [-1, 4, 5, 3], np.zeros(61, np.uint8), "but 61 values; expected 60"),
        ("UINT8", [1, 0, 5, 3], np.zeros(0, np.uint8), r"expected \[N, height, width, 3\]"),
        ("UINT8", [0, 4, 5, 3], np.zeros(0, np.uint8), "holds no image"),
        ("UINT8", [1, 4, 5, 3], np.zeros(59, np.uint8), "but 59 values"),
        ("UINT8", [1, 2**40, 2**40, 3], np.zeros(3, np.uint8), "but 3 values"),
    ],
)
def test_wrong_tensor_is_refused(datatype: str, shape: list[int], data: object, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        read_request(request(datatype, shape, data), SETTINGS, {})


@pytest.mark.parametrize(
    ("datatype", "shape", "data"),
    [("BYTES", [4], [b"a"] * 4), ("UINT8", [4, 1, 1, 3], np.zeros(12, np.uint8)), ("BYTES", [10**12], [])],
)
def test_batch_over_the_limit_is_refused(datatype: str, shape: list[int], data: object) -> None:
    with pytest.raises(ImageTooLarge, match="images in one request; the limit is 3"):
        read_request(request(datatype, shape, data), SETTINGS, {})


@pytest.mark.parametrize("names", [[], ["picture"], ["image", "image"], ["image", "mask"]])
def test_other_inputs_are_refused(names: list[str]) -> None:
    inputs = [InferInput(name=name, shape=[1], datatype="BYTES", data=[b"a"]) for name in names]
    with pytest.raises(InvalidRequest, match="expected exactly one, 'image'"):
        read_request(request("BYTES", [1], [b"a"], infer_inputs=inputs), SETTINGS, {})


def test_request_always_has_an_id() -> None:
    def id_of(sent: str | None, headers: dict[str, str]) -> str:
        return read_request(request("BYTES", [1], [b"a"], request_id=sent), SETTINGS, headers).request_id

    assert id_of("mine", {"x-request-id": "header"}) == "mine"
    assert id_of(None, {"x-request-id": "header"}) == "header"
    assert id_of("", {}) != id_of(None, {}) != ""

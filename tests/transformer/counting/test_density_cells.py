"""How the cells of a density map lie on the photo that was sent, over every protocol."""

import base64

import grpc
import httpx
import numpy as np
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub
from PIL import Image
from tritonclient.http import InferenceServerClient, InferInput

from crowdserve.local.service import EmbeddedService
from crowdserve.protocol.binary import join_bytes
from tests.support.photos import encoded
from tests.support.requests import binary_body, infer, outputs_of

TURNED = 6
WIDTH, HEIGHT = 3000, 600
"""Of the upright photo: the networks see 2048 x 410 px."""


def photo() -> bytes:
    """A photo whose upright form is black but for its right third."""
    picture = Image.new("L", (WIDTH, HEIGHT))
    picture.paste(255, (WIDTH * 2 // 3, 0, WIDTH, HEIGHT))
    exif = Image.Exif()
    exif[0x0112] = TURNED
    return encoded(picture.transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif)


CELL_PX = pytest.approx([8 * WIDTH / 2048, 8 * HEIGHT / 410], rel=1e-6)
PARAMETERS = {"density": True, "route": "dense"}


def test_people_are_where_the_cells_say(infer_url: str) -> None:
    outputs = infer(infer_url, photo(), parameters=PARAMETERS)
    assert outputs["density_cell_px"] == CELL_PX
    rows, columns = outputs["density_shape"]
    density = np.reshape(outputs["density"], (rows, columns))
    left_px = np.arange(columns) * outputs["density_cell_px"][0]
    assert density[:, left_px >= WIDTH * 2 / 3].sum() == pytest.approx(density.sum(), rel=0.02)
    assert columns * outputs["density_cell_px"][0] == pytest.approx(WIDTH, abs=outputs["density_cell_px"][0])
    assert rows * outputs["density_cell_px"][1] == pytest.approx(HEIGHT, abs=outputs["density_cell_px"][1])


def test_pixels_have_them_too(infer_url: str, client: httpx.Client) -> None:
    pixels = np.zeros((1, 40, 2500, 3), np.uint8)
    body, headers = binary_body(pixels, parameters=PARAMETERS, outputs=[{"name": "density_cell_px"}])
    outputs = outputs_of(client.post(infer_url, content=body, headers=headers))
    assert outputs["density_cell_px"] == pytest.approx([8 * 2500 / 2048, 8 * 40 / 33], rel=1e-6)


def test_v1_has_them(small_service: EmbeddedService, client: httpx.Client) -> None:
    instance = {"image_bytes": {"b64": base64.b64encode(photo()).decode()}}
    url = f"{small_service.http_url}/v1/models/crowdserve:predict"
    (prediction,) = client.post(url, json={"instances": [instance], "parameters": PARAMETERS}).json()["predictions"]
    assert prediction["density_cell_px"] == CELL_PX
    assert "density_shape" not in prediction


def test_binary_rest_has_them(small_service: EmbeddedService) -> None:
    image = InferInput("image", [1], "BYTES")
    image.set_data_from_numpy(np.array([photo()], dtype=np.object_))
    with InferenceServerClient(small_service.http_url.removeprefix("http://"), network_timeout=120) as triton_client:
        result = triton_client.infer("crowdserve", [image], parameters=PARAMETERS)
        metadata = triton_client.get_model_metadata("crowdserve")
    assert result.as_numpy("density_cell_px")[0].tolist() == CELL_PX
    assert {"name": "density_cell_px", "datatype": "FP32", "shape": [-1, 2]} in metadata["outputs"]


def test_grpc_has_them(small_service: EmbeddedService) -> None:
    tensor = pb.ModelInferRequest.InferInputTensor(name="image", datatype="BYTES", shape=[1])
    request = pb.ModelInferRequest(model_name="crowdserve", inputs=[tensor], raw_input_contents=[join_bytes([photo()])])
    request.parameters["density"].bool_param = True
    with grpc.insecure_channel(small_service.grpc_url) as channel:
        reply = GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=60)
    found = {output.name: (output, raw) for output, raw in zip(reply.outputs, reply.raw_output_contents, strict=True)}
    output, raw = found["density_cell_px"]
    assert (output.datatype, list(output.shape)) == ("FP32", [1, 2])
    assert np.frombuffer(raw, np.float32).tolist() == CELL_PX

"""v2 requests to a running service, and the outputs of its responses."""

import base64
from typing import Any

import httpx
import numpy as np

TIMEOUT_SECONDS = 120.0
"""Long enough for a busy machine."""


def json_body(*files: bytes, **message: Any) -> dict[str, Any]:
    """A JSON request for image files; `message` adds or replaces its other members."""
    data = [base64.b64encode(file).decode() for file in files]
    image = {"name": "image", "datatype": "BYTES", "shape": [len(files)], "data": data}
    return {"inputs": [image], **message}


def binary_body(images: np.ndarray | list[bytes], **message: Any) -> tuple[bytes, dict[str, str]]:
    """A request with the binary extension, and its headers, for uint8 pixels [N, height, width, 3] or image files."""
    if isinstance(images, np.ndarray):
        datatype, shape, raw = "UINT8", list(images.shape), images.tobytes()
    else:
        raw = b"".join(len(file).to_bytes(4, "little") + file for file in images)
        datatype, shape = "BYTES", [len(images)]
    parameters = {"binary_data_size": len(raw)}
    image = {"name": "image", "datatype": datatype, "shape": shape, "parameters": parameters}
    head = httpx.Request("POST", "http://x", json={"inputs": [image], **message}).content
    return head + raw, {"Inference-Header-Content-Length": str(len(head))}


def outputs_of(response: httpx.Response) -> dict[str, Any]:
    """The outputs of a JSON response by name; fails unless its status is 200."""
    assert response.status_code == 200, response.text
    return {output["name"]: output["data"] for output in response.json()["outputs"]}


def infer(url: str, *files: bytes, **message: Any) -> dict[str, Any]:
    """The outputs of a JSON request for image files, by name."""
    return outputs_of(httpx.post(url, json=json_body(*files, **message), timeout=TIMEOUT_SECONDS, trust_env=False))

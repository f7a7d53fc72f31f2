"""Pictures, requests and running transformers for the tests of the transformer.

The services run the small models of `small_repository`: a picture brighter than 127 takes the dense route, and
`people` says what is found there.
"""

import base64
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from crowdserve.cards import COUNTERS, SceneRoute
from crowdserve.local.processes import ChildProcess, choose_ports
from crowdserve.local.service import EmbeddedService
from tools.stub_models import foretell

HOST = "127.0.0.1"
READY_SECONDS = 60.0


@dataclass(frozen=True)
class RunningTransformer:
    """A transformer of its own settings."""

    process: ChildProcess
    http_url: str
    grpc_url: str


StartTransformer = Callable[..., Any]


@pytest.fixture(scope="session")
def gray_photo() -> Callable[..., bytes]:
    """`gray_photo(value, width, height, format)`: a picture of one brightness, as a file."""

    def photo(
        value: int = 200, width: int = 96, height: int = 80, file_format: str = "PNG", **options: object
    ) -> bytes:
        file = io.BytesIO()
        Image.new("RGB", (width, height), (value,) * 3).save(file, format=file_format, **options)
        return file.getvalue()

    return photo


@pytest.fixture(scope="session")
def people() -> Callable[..., float]:
    """`people(value, width, height, route, counter)`: what the small models find in a gray photo."""

    def count(
        value: int = 200, width: int = 96, height: int = 80, route: SceneRoute | None = None, counter: str = COUNTERS[0]
    ) -> float:
        counters = COUNTERS if counter == "average" else (counter,)
        return foretell(value, height, width, route=route, counters=counters)

    return count


@pytest.fixture(scope="session")
def json_body() -> Callable[..., dict[str, Any]]:
    """`json_body(file, …, **message)`: a v2 JSON request."""

    def body(*files: bytes, **message: Any) -> dict[str, Any]:
        data = [base64.b64encode(file).decode() for file in files]
        image = {"name": "image", "datatype": "BYTES", "shape": [len(files)], "data": data}
        return {"inputs": [image], **message}

    return body


@pytest.fixture(scope="session")
def binary_body() -> Callable[..., tuple[bytes, dict[str, str]]]:
    """`binary_body(uint8_array_or_files, **message)`: a v2 request with the binary extension, and its headers."""

    def body(images: np.ndarray | list[bytes], **message: Any) -> tuple[bytes, dict[str, str]]:
        if isinstance(images, np.ndarray):
            datatype, shape, raw = "UINT8", list(images.shape), images.tobytes()
        else:
            raw = b"".join(len(file).to_bytes(4, "little") + file for file in images)
            datatype, shape = "BYTES", [len(images)]
        parameters = {"binary_data_size": len(raw)}
        image = {"name": "image", "datatype": datatype, "shape": shape, "parameters": parameters}
        head = httpx.Request("POST", "http://x", json={"inputs": [image], **message}).content
        return head + raw, {"Inference-Header-Content-Length": str(len(head))}

    return body


@pytest.fixture(scope="session")
def infer_url(small_service: EmbeddedService) -> str:
    """Where the shared service answers v2 requests."""
    return f"{small_service.http_url}/v2/models/crowdserve/infer"


@pytest.fixture(scope="session")
def client() -> Iterator[httpx.Client]:
    """An HTTP client that never gives up early on a busy machine."""
    with httpx.Client(timeout=120, trust_env=False) as client:
        yield client


@pytest.fixture(scope="session")
def outputs_of() -> Callable[[httpx.Response], dict[str, Any]]:
    """The outputs of a v2 JSON answer by name; fails if the answer is not 200."""

    def outputs(response: httpx.Response) -> dict[str, Any]:
        assert response.status_code == 200, response.text
        return {output["name"]: output["data"] for output in response.json()["outputs"]}

    return outputs


@pytest.fixture(scope="session")
def infer(client: httpx.Client, infer_url: str, json_body: Callable[..., Any], outputs_of: Callable[..., Any]) -> Any:
    """`infer(file, …, **message)`: the outputs of a v2 JSON request to the shared service, by name."""
    return lambda *files, **message: outputs_of(client.post(infer_url, json=json_body(*files, **message)))


@pytest.fixture(scope="session")
def start_transformer(small_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> StartTransformer:
    """`with start_transformer(triton_address, setting=value) as running:` starts one with its own settings."""

    @contextmanager
    def start(predictor: str, **settings: object) -> Iterator[RunningTransformer]:
        http_port, grpc_port = choose_ports(HOST, None, None)
        chosen = {
            "host": HOST,
            "http_port": http_port,
            "grpc_port": grpc_port,
            "predictor_host": predictor,
            "repository": small_repository,
            "drain_seconds": 0,
            **settings,
        }
        flags = [f"--{name}={value}" for name, value in chosen.items()]
        process = ChildProcess(
            "the transformer",
            [sys.executable, "-m", "crowdserve_transformer", *flags],
            folder=tmp_path_factory.mktemp("transformer"),
            env=os.environ,
        )
        try:
            process.wait_until(lambda: _answers(f"http://{HOST}:{http_port}/v2/health/live"), READY_SECONDS)
            yield RunningTransformer(process, f"http://{HOST}:{http_port}", f"{HOST}:{grpc_port}")
        finally:
            process.stop(10)

    return start


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False

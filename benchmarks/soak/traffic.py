"""Ordinary photos at a steady rate, over REST and gRPC, and whether they were counted rightly."""

import base64
import io
import json
import math
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import grpc  # type: ignore[import-untyped]
import httpx
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub
from PIL import Image

from benchmarks.soak.answers import Answer, Answers
from benchmarks.soak.connection import Address
from crowdserve.protocol.binary import join_bytes
from crowdserve.protocol.headers import JSON_LENGTH_HEADER
from crowdserve.protocol.tensors import IMAGE
from tools.stub_models import expected_count

DEADLINE_SECONDS = 30.0
"""How long an ordinary client waits; it says so to the service."""

WRONG = "wrong count"
_GRAY, _SIZE_PX = 200, (640, 480)
_TOLERANCE = 0.02


@dataclass(frozen=True, slots=True)
class _Result:
    status: str
    count: float | None = None
    retry_after: bool = False


def ordinary_photo() -> bytes:
    """A JPEG whose count by the stub networks is known."""
    file = io.BytesIO()
    Image.new("RGB", _SIZE_PX, (_GRAY,) * 3).save(file, format="JPEG", quality=90)
    return file.getvalue()


class Traffic:
    """One thread for each protocol; each sends a photo every so often, later if the last one is not answered."""

    def __init__(self, address: Address, answers: Answers, ended: threading.Event, per_second: float) -> None:
        self._address = address
        self._answers = answers
        self._ended = ended
        self._photo = ordinary_photo()
        self._count = expected_count(_GRAY, _SIZE_PX[1], _SIZE_PX[0])
        clients = self._clients()
        self._pause_seconds = len(clients) / per_second
        self.threads = [threading.Thread(target=self._send, args=client) for client in clients.items()]

    def _clients(self) -> Mapping[str, Callable[[], Iterator[Callable[[], _Result]]]]:
        return {"v2 json": self._json, "v2 binary": self._binary, "v1 json": self._v1, "v2 grpc": self._grpc}

    def _send(self, kind: str, client: Callable[[], Iterator[Callable[[], _Result]]]) -> None:
        for send in client():
            started = time.monotonic()
            result = send()
            seconds = time.monotonic() - started
            status = result.status
            if result.count is not None and not math.isclose(result.count, self._count, rel_tol=_TOLERANCE):
                status = WRONG
            self._answers.add(Answer(kind, True, status, seconds, result.retry_after))
            if self._ended.wait(max(0.0, self._pause_seconds - seconds)):
                return

    def _json(self) -> Iterator[Callable[[], _Result]]:
        data = base64.b64encode(self._photo).decode()
        message = {"inputs": [{"name": IMAGE, "datatype": "BYTES", "shape": [1], "data": [data]}]}
        return self._over_rest(self._address.infer_path, json.dumps(message).encode(), {}, _v2_count)

    def _binary(self) -> Iterator[Callable[[], _Result]]:
        raw = join_bytes([self._photo])
        image = {"name": IMAGE, "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": len(raw)}}
        head = json.dumps({"inputs": [image]}).encode()
        return self._over_rest(self._address.infer_path, head + raw, {JSON_LENGTH_HEADER: str(len(head))}, _v2_count)

    def _v1(self) -> Iterator[Callable[[], _Result]]:
        message = {"instances": [{"image_bytes": {"b64": base64.b64encode(self._photo).decode()}}]}
        body = json.dumps(message).encode()
        return self._over_rest(
            self._address.predict_path, body, {}, lambda reply: float(reply.json()["predictions"][0]["count"])
        )

    def _over_rest(
        self, path: str, body: bytes, headers: Mapping[str, str], count: Callable[[httpx.Response], float]
    ) -> Iterator[Callable[[], _Result]]:
        url = f"http://{self._address.host}:{self._address.http_port}{path}"
        sent = {**headers, "X-Request-Timeout-Seconds": str(DEADLINE_SECONDS)}

        def send() -> _Result:
            try:
                reply = client.post(url, content=body, headers=sent)
            except httpx.TimeoutException:
                return _Result("silent")
            except httpx.HTTPError:
                return _Result("closed")
            counted = count(reply) if reply.status_code == 200 else None
            return _Result(str(reply.status_code), counted, "retry-after" in reply.headers)

        with httpx.Client(timeout=2 * DEADLINE_SECONDS, trust_env=False) as client:
            while True:
                yield send

    def _grpc(self) -> Iterator[Callable[[], _Result]]:
        message = pb.ModelInferRequest(
            model_name=self._address.model,
            inputs=[pb.ModelInferRequest.InferInputTensor(name=IMAGE, datatype="BYTES", shape=[1])],
            raw_input_contents=[join_bytes([self._photo])],
        )

        def send() -> _Result:
            try:
                reply = infer(message, timeout=DEADLINE_SECONDS)
            except grpc.RpcError as err:
                return _Result(err.code().name)
            position = [output.name for output in reply.outputs].index("count")
            return _Result("OK", _float(reply.raw_output_contents[position]))

        with grpc.insecure_channel(f"{self._address.host}:{self._address.grpc_port}") as channel:
            infer = GRPCInferenceServiceStub(channel).ModelInfer
            while True:
                yield send


def _v2_count(reply: httpx.Response) -> float:
    return next(float(output["data"][0]) for output in reply.json()["outputs"] if output["name"] == "count")


def _float(raw: bytes) -> float:
    (value,) = struct.unpack("<f", raw)
    return float(value)

"""A bounded load: photos to the service, by REST or gRPC, until a number, a time limit or SIGTERM.

It prints "begins", and in the end one JSON object: requests, the lost ones with time and reason, answers by pod,
latencies. It runs in the transformer's image as well, so it needs only what is there.
"""

import argparse
import base64
import collections
import json
import signal
import struct
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

_LATE_SECONDS = 120.0


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--protocol", choices=("rest", "grpc"), default="rest")
    parser.add_argument("--address", required=True)
    parser.add_argument("--host", default="")
    parser.add_argument("--photo", required=True)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--clients", type=int, default=2)
    parser.add_argument("--pause", type=float, default=0.0)
    parser.add_argument("--track", default="")
    options = parser.parse_args()
    sys.argv = sys.argv[:1]  # kserve reads them when it is imported
    with open(options.photo, "rb") as file:
        load = Load(options, file.read())
    signal.signal(signal.SIGTERM, lambda *_: load.over.set())
    print("begins", flush=True)
    with ThreadPoolExecutor(options.clients) as pool:
        for work in [pool.submit(load.work) for _ in range(options.clients)]:
            work.result()  # raises what ended a client
    print(json.dumps(load.result()), flush=True)


class Load:
    """Clients that send one photo again and again."""

    def __init__(self, options: argparse.Namespace, photo: bytes) -> None:
        self.over = threading.Event()
        self._options = options
        self._photo = photo
        self._left = options.requests
        self._lock = threading.Lock()
        self._pods: collections.Counter[str] = collections.Counter()
        self._seconds: list[float] = []
        self._lost: list[dict[str, Any]] = []
        self._client = _Rest if options.protocol == "rest" else _Grpc
        if options.protocol == "grpc":
            import kserve.protocol.grpc.grpc_predict_v2_pb2_grpc  # noqa: F401  # takes seconds: before the load begins
        self._start = time.time()

    def work(self) -> None:
        """Send requests until the load is over."""
        client = self._client(self._options, self._photo)
        try:
            while self._takes_one():
                self._send(client)
                self.over.wait(self._options.pause)
        finally:
            client.close()

    def _takes_one(self) -> bool:
        with self._lock:
            self._left -= 1
            return self._left >= 0 and not self.over.is_set() and time.time() - self._start < self._options.seconds

    def _send(self, client: "_Rest | _Grpc") -> None:
        begin = time.time()
        try:
            pod = client.send()
        except Exception as err:  # whatever it is, the request is lost
            lost = {
                "at": round(begin - self._start, 1),
                "seconds": round(time.time() - begin, 2),
                "reason": _reason(err),
            }
            with self._lock:
                self._lost.append(lost)
            self.over.wait(0.1)
        else:
            with self._lock:
                self._pods[pod] += 1
                self._seconds.append(round(time.time() - begin, 4))

    def result(self) -> dict[str, Any]:
        """What happened."""
        return {
            "requests": len(self._seconds) + len(self._lost),
            "lost": self._lost,
            "pods": self._pods,
            "seconds": self._seconds,
            "duration": round(time.time() - self._start, 1),
        }


class _Lost(Exception):
    pass


class _Rest:
    def __init__(self, options: argparse.Namespace, photo: bytes) -> None:
        content = base64.b64encode(photo).decode()
        self._body = json.dumps(
            {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": [content]}]}
        ).encode()
        headers = {"content-type": "application/json"}
        headers |= {"host": options.host} if options.host else {}
        headers |= {"x-crowdserve-track": options.track} if options.track else {}
        self._http = httpx.Client(timeout=_LATE_SECONDS, trust_env=False, headers=headers)
        self._url = f"http://{options.address}/v2/models/crowdserve/infer"

    def send(self) -> str:
        reply = self._http.post(self._url, content=self._body)
        if reply.status_code != 200:
            raise _Lost(f"{reply.status_code} {reply.text[:200]}")
        outputs = {each["name"]: each["data"][0] for each in reply.json()["outputs"]}
        if not outputs["count"] >= 0:
            raise _Lost(f"count {outputs['count']}")
        return reply.headers.get("x-crowdserve-pod", "-")

    def close(self) -> None:
        self._http.close()


class _Grpc:
    def __init__(self, options: argparse.Namespace, photo: bytes) -> None:
        import grpc
        from kserve.protocol.grpc import grpc_predict_v2_pb2 as messages
        from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

        authority = [("grpc.default_authority", options.host)] if options.host else []
        self._channel = grpc.insecure_channel(options.address, options=authority)
        self._infer = GRPCInferenceServiceStub(self._channel).ModelInfer
        self._metadata = [("x-crowdserve-track", options.track)] if options.track else []
        self._request = messages.ModelInferRequest(
            model_name="crowdserve",
            inputs=[messages.ModelInferRequest.InferInputTensor(name="image", datatype="BYTES", shape=[1])],
            raw_input_contents=[struct.pack("<I", len(photo)) + photo],
        )

    def send(self) -> str:
        reply, call = self._infer.with_call(self._request, timeout=_LATE_SECONDS, metadata=self._metadata)
        outputs = dict(zip((output.name for output in reply.outputs), reply.raw_output_contents, strict=True))
        if not struct.unpack("<f", outputs["count"])[0] >= 0:
            raise _Lost("no count")
        metadata = [*call.initial_metadata(), *call.trailing_metadata()]
        return next((value for key, value in metadata if key == "x-crowdserve-pod"), "-")

    def close(self) -> None:
        self._channel.close()


def _reason(err: Exception) -> str:
    code = getattr(err, "code", None)
    if code is not None and callable(code):
        return f"{code().name} {err.details()}"  # type: ignore[attr-defined]  # a grpc.RpcError
    return str(err) if isinstance(err, _Lost) else f"{type(err).__name__} {err}"


if __name__ == "__main__":
    main()

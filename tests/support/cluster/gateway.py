"""A gateway with a crowdserve of each track behind it, over real HTTP and the v2 protocol.

It routes by the current HTTPRoute in the API server. Counts are the true ones plus an error per track.
"""

import json
import struct
from collections.abc import Callable
from email.message import Message
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.support.cluster.stoppable import StoppableServer


class Gateway(StoppableServer):
    """The server; a context manager.

    Args:
        read_route: Returns the current HTTPRoute.
        on_count: Is called with the service that counted a photo.

    Attributes:
        truth: The head count of each photo, by its bytes.
        error: The error of the count, by service.
        paths: Services with their own URL, by path prefix.
        broken: Services that answer 500.
        busy: Services that answer 429.
        model: Name of the model in every URL.
        pods: Pods that answer, by service.
        drops: Headers that a proxy in front removes.
        token: The required bearer token, if any.
        tokens: The `Authorization` of each request.
        counted: Service and photo of each request.
    """

    def __init__(self, read_route: Callable[[], dict[str, Any]], on_count: Callable[[str], object]) -> None:
        self.truth: dict[bytes, int] = {}
        self.error: dict[str, float] = {}
        self.broken: set[str] = set()
        self.busy: set[str] = set()
        self.counted: list[tuple[str, bytes]] = []
        self.paths: dict[str, str] = {}
        self.model = "crowdserve"
        self.pods: dict[str, str] = {}
        self.drops: set[str] = set()
        self.token: str | None = None
        self.tokens: list[str | None] = []
        self.read_route, self.on_count = read_route, on_count
        super().__init__(_Handler, "gateway")

    def service_for(self, headers: Message) -> str:
        """The service for a request: of the rule whose headers match, otherwise the one with the largest weight."""
        rules = self.read_route()["spec"]["rules"]
        matching = [rule for rule in rules if rule.get("matches") and _matches(rule["matches"][0], headers)]
        rule = (matching or [rule for rule in rules if len(rule["backendRefs"]) > 1])[0]
        heaviest = max(rule["backendRefs"], key=lambda each: each.get("weight", 1))
        return heaviest["name"]


def _matches(match: dict[str, Any], headers: Message) -> bool:
    wanted = match.get("headers", [])
    return bool(wanted) and all(headers.get(each["name"]) == each["value"] for each in wanted)


class _Handler(BaseHTTPRequestHandler):
    gateway: Gateway

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        for name in self.gateway.drops:
            del self.headers[name]
        start_of_path, _, path = self.path.rpartition("/v2/")
        self.gateway.tokens.append(self.headers["Authorization"])
        if self.gateway.token and self.gateway.tokens[-1] != f"Bearer {self.gateway.token}":
            return self._reply(401, {"error": f"{self.gateway.tokens[-1]} is not welcome"})
        if path != f"models/{self.gateway.model}/infer":
            return self._reply(404, {"error": f"no {self.path} here"})
        start = int(self.headers["Inference-Header-Content-Length"])
        (tensor,) = json.loads(body[:start])["inputs"]
        (length,) = struct.unpack_from("<I", body, start)
        photo = body[start + 4 : start + 4 + length]
        assert (tensor["name"], tensor["datatype"], tensor["shape"]) == ("image", "BYTES", [1])
        service = self.gateway.paths.get(start_of_path) or self.gateway.service_for(self.headers)
        self.gateway.counted.append((service, photo))
        self.gateway.on_count(service)
        if service in self.gateway.broken:
            return self._reply(500, {"error": "crowd_dense failed; its log tells why, under request id 7"}, service)
        if service in self.gateway.busy:
            return self._reply(429, {"error": "too many images wait for memory; try again later"}, service)
        count = self.gateway.truth[photo] + self.gateway.error.get(service, 0.0)
        outputs = {
            "count": ("FP32", count),
            "scene": ("BYTES", "dense"),
            "scene_probability": ("FP32", 0.9),
            "route": ("BYTES", "dense"),
            "models": ("BYTES", "{}"),
        }
        tensors = [
            {"name": name, "datatype": datatype, "shape": [1], "data": [value]}
            for name, (datatype, value) in outputs.items()
        ]
        return self._reply(200, {"model_name": "crowdserve", "id": "7", "outputs": tensors}, service)

    def _reply(self, code: int, content: dict, service: str = "") -> None:
        text = json.dumps(content).encode()
        self.send_response(code)
        if service in self.gateway.pods:
            self.send_header("x-crowdserve-pod", self.gateway.pods[service])
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

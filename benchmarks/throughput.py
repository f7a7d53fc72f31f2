"""Photos that the service answers in a second with networks that cost nothing, and whose processor time they take.

    python -m benchmarks.throughput

The command starts `crowdserve up` with such networks and sends it one 1024x768 photo from 1, 16 and 256 clients at
once, as a plain body over REST; then from 16 clients in REST's binary form and over gRPC. Service, Triton and clients
share this machine's cores. A client that is refused waits for as long as Retry-After says. It takes about a minute.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import grpc  # type: ignore[import-untyped]
import numpy as np
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from benchmarks.photo import jpeg_of
from benchmarks.process_stats import cpu_seconds, descendants
from benchmarks.running_service import Service, free_networks
from crowdserve.protocol.binary import join_bytes
from crowdserve.protocol.headers import JSON_LENGTH_HEADER
from crowdserve.protocol.tensors import IMAGE

CLIENTS = (1, 16, 256)
SECONDS = 8.0
_WARM_UP_SECONDS = 1.0
_PATH = "/v2/models/crowdserve/infer"
_REFUSED = {"429", "503", "RESOURCE_EXHAUSTED", "UNAVAILABLE"}
_PAUSE_SECONDS = 1.0
"""What the service asks of a client that it refuses."""

Send = Callable[[], Awaitable[str]]
"""Sends one photo; the status of the answer."""


@dataclass(frozen=True, slots=True)
class Throughput:
    """What some clients got.

    Attributes:
        form: How they sent the photo.
        clients: How many sent at once, each the next photo when the last one was answered.
        photos_per_second: Answered.
        mean_seconds: Mean time of an answer.
        p50_seconds: Median time of an answer.
        p95_seconds: Time within which 95 % were answered.
        refused: Photos that were to come again later.
        cpu_ms: Processor time for each answered photo, milliseconds, by who took it.
    """

    form: str
    clients: int
    photos_per_second: float
    mean_seconds: float
    p50_seconds: float
    p95_seconds: float
    refused: int
    cpu_ms: Mapping[str, float]

    def __str__(self) -> str:
        costs = ", ".join(f"{name} {value:.2f}" for name, value in self.cpu_ms.items())
        return (
            f"{self.form:<12}{self.clients:4} clients {self.photos_per_second:6.1f} photos/s  "
            f"p50 {self.p50_seconds:.3f} s  p95 {self.p95_seconds:.3f} s  {self.refused:5} refused  "
            f"CPU ms per photo: {costs}"
        )


def measure(service: Service, form: str, jpeg: bytes, clients: int, seconds: float) -> Throughput:
    """Send photos from some clients for some time."""
    return asyncio.run(_measure(service, form, jpeg, clients, seconds))


async def _measure(service: Service, form: str, jpeg: bytes, clients: int, seconds: float) -> Throughput:
    sends = [await FORMS[form](service, jpeg) for _ in range(clients)]
    await _load(sends, _WARM_UP_SECONDS)
    before, started = _cpu_seconds(service), time.perf_counter()
    answers = await _load(sends, seconds)
    elapsed, after = time.perf_counter() - started, _cpu_seconds(service)
    counted = [duration for status, duration in answers if status in ("200", "OK")]
    refused = sum(status in _REFUSED for status, _ in answers)
    if len(counted) + refused != len(answers) or not counted:
        sys.exit(f"{form}: answered {sorted({status for status, _ in answers})}, not counted")
    return Throughput(
        form,
        clients,
        len(counted) / elapsed,
        float(np.mean(counted)),
        float(np.quantile(counted, 0.5)),
        float(np.quantile(counted, 0.95)),
        refused,
        {name: (after[name] - before[name]) * 1e3 / len(counted) for name in after},
    )


def measure_open(service: Service, jpeg: bytes, per_second: float, seconds: float) -> list[float]:
    """Send photos at random moments, whatever becomes of the ones before; the time of each, seconds."""
    return asyncio.run(_open(service, jpeg, per_second, seconds))


async def _open(service: Service, jpeg: bytes, per_second: float, seconds: float) -> list[float]:
    gaps = np.random.default_rng(0).exponential(1 / per_second, round(per_second * seconds))
    idle: list[Send] = [await FORMS[_PLAIN](service, jpeg) for _ in range(4)]
    durations = []

    async def one(arrival: float) -> None:
        send = idle.pop() if idle else await FORMS[_PLAIN](service, jpeg)
        if (status := await send()) != "200":
            sys.exit(f"answered {status}, not counted; send fewer than {per_second:.0f} photos/s")
        durations.append(time.perf_counter() - arrival)
        idle.append(send)

    started = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for arrival in started + np.cumsum(gaps):
            await asyncio.sleep(max(0.0, arrival - time.perf_counter()))
            tasks.create_task(one(float(arrival)))
    return durations


async def _load(sends: list[Send], seconds: float) -> list[tuple[str, float]]:
    """Status and duration of every answer; what is under way at the end is waited for."""
    end, answers = time.perf_counter() + seconds, []

    async def client(send: Send) -> None:
        while (started := time.perf_counter()) < end:
            status = await send()
            answers.append((status, time.perf_counter() - started))
            if status in _REFUSED:
                await asyncio.sleep(_PAUSE_SECONDS)

    await asyncio.gather(*map(client, sends))
    return answers


def _cpu_seconds(service: Service) -> dict[str, float]:
    """Processor time so far of the parts."""
    server, *decoders = descendants(service.transformer_pid)
    everything = set(descendants(service.pid)) - {server, *decoders, service.pid}
    return {
        "transformer": cpu_seconds(server),
        "decoding": sum(map(cpu_seconds, decoders)),
        "Triton": sum(map(cpu_seconds, everything)),
        "clients": time.process_time(),
    }


async def _plain(service: Service, jpeg: bytes) -> Send:
    return await _rest(service, jpeg, {"Content-Type": "image/jpeg"})


async def _binary(service: Service, jpeg: bytes) -> Send:
    raw = join_bytes([jpeg])
    image = {"name": IMAGE, "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": len(raw)}}
    head = json.dumps({"inputs": [image]}).encode()
    return await _rest(service, head + raw, {JSON_LENGTH_HEADER: str(len(head))})


async def _rest(service: Service, body: bytes, headers: Mapping[str, str]) -> Send:
    """A client that costs next to nothing: one kept connection, one ready request."""
    address = urlsplit(service.url)
    fields = {"Host": address.netloc, "Content-Length": str(len(body)), **headers}
    lines = [f"POST {_PATH} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    request = "\r\n".join(lines).encode() + body
    connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send() -> str:
        nonlocal connection
        reader, writer = connection or await asyncio.open_connection(address.hostname, address.port)
        connection = reader, writer
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = head.partition("content-length: ")[2].partition("\r\n")[0]
        await reader.readexactly(int(length))
        if "\r\nconnection: close" in head:
            writer.close()
            connection = None
        return head.split(maxsplit=2)[1]

    return send


async def _grpc(service: Service, jpeg: bytes) -> Send:
    message = pb.ModelInferRequest(
        model_name="crowdserve",
        inputs=[pb.ModelInferRequest.InferInputTensor(name=IMAGE, datatype="BYTES", shape=[1])],
        raw_input_contents=[join_bytes([jpeg])],
    )
    infer = GRPCInferenceServiceStub(grpc.aio.insecure_channel(service.grpc_address)).ModelInfer

    async def send() -> str:
        try:
            await infer(message)
        except grpc.RpcError as err:
            return str(err.code().name)
        return "OK"

    return send


_PLAIN = "REST"
FORMS: Mapping[str, Callable[[Service, bytes], Awaitable[Send]]] = {
    _PLAIN: _plain,
    "REST binary": _binary,
    "gRPC": _grpc,
}
"""Ways to send a photo; the first is that of the README."""


def throughputs(service: Service, jpeg: bytes, seconds: float = SECONDS) -> Iterator[Throughput]:
    """The first form from few to many clients, then the others."""
    first, *others = FORMS
    for clients in CLIENTS:
        yield measure(service, first, jpeg, clients, seconds)
    for form in others:
        yield measure(service, form, jpeg, CLIENTS[1], seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photo", type=Path, default=Path("examples/pedestrians.jpg"), help="scaled to 1024x768")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for each number of clients")
    arguments = parser.parse_args()
    with free_networks() as service:
        for found in throughputs(service, jpeg_of(arguments.photo), arguments.seconds):
            print(found, flush=True)


if __name__ == "__main__":
    main()

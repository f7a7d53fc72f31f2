"""What strangers send, by kind. Each attack is one exchange, or a few, and returns what the service said."""

import base64
import json
import random
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import grpc  # type: ignore[import-untyped]
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

from benchmarks.fuzz import seeds
from benchmarks.fuzz.edits import ACTIONS, Cut, Edit, Flip, Part, Write, edited
from benchmarks.soak.connection import Address, Reply, converse, exchange, head, post, read_reply
from benchmarks.worst_pictures import progressive_jpeg, run_length_bmp, worst_pictures
from crowdserve.protocol.binary import join_bytes
from crowdserve.protocol.headers import JSON_LENGTH_HEADER
from crowdserve.protocol.tensors import IMAGE

Attack = Callable[[Address, random.Random], Sequence[Reply]]

HELD_SECONDS = 40.0
"""How long a slow client keeps its connection, unless the service closes it."""

SLOW = ("slow bodies", "half headers", "unfinished bodies")
"""Attacks that hold a connection for as long as the service lets them."""

_FLOOD = 40
_MIB = 1 << 20


def all_attacks() -> Mapping[str, Attack]:
    """Every attack by its name. The pictures are made here, once: that takes some seconds."""
    photo = seeds.encoded(seeds.drawn(size_px=(640, 480)), "JPEG")
    bombs = [file for _, file in worst_pictures()]
    dear = [progressive_jpeg((2400, 1800), 600), progressive_jpeg((2400, 1800), 90), run_length_bmp((4000, 3000))]
    files = seeds.files()
    return {
        "bombs": lambda address, rng: [_send_file(address, rng.choice(bombs))],
        "dear files": lambda address, rng: [_send_file(address, rng.choice(dear))],
        "broken files": lambda address, rng: [_send_file(address, _broken(rng.choice(files), rng)) for _ in range(8)],
        "broken messages": lambda address, rng: [_broken_message(address, rng) for _ in range(8)],
        "wrong lengths": _wrong_lengths,
        "hostile json": lambda address, rng: [post(address, address.infer_path, _hostile_json(rng))],
        "huge headers": _huge_headers,
        "odd headers": _odd_headers,
        "not http": _not_http,
        "hang-ups": lambda address, rng: [_hang_up(address, photo) for _ in range(8)],
        "slow bodies": lambda address, rng: [_slow(address, head(address.infer_path, [("Content-Length", "99999")]))],
        "half headers": lambda address, rng: [_slow(address, f"POST {address.infer_path} HTTP/1.1\r\nHost:".encode())],
        "unfinished bodies": lambda address, rng: [_unfinished(address)],
        "flood": lambda address, rng: _flood(address, photo),
        "hostile grpc": lambda address, rng: [_hostile_grpc(address, rng)],
    }


def _send_file(address: Address, file: bytes) -> Reply:
    raw = join_bytes([file])
    image = {"name": IMAGE, "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": len(raw)}}
    message = json.dumps({"inputs": [image]}).encode()
    return post(address, address.infer_path, message + raw, [(JSON_LENGTH_HEADER, str(len(message)))])


def _broken(data: bytes, rng: random.Random) -> bytes:
    """A valid file or message after some edits."""
    return edited(data, [_edit(rng) for _ in range(rng.randint(1, 5))])


def _edit(rng: random.Random) -> Edit:
    position = rng.choice((rng.randrange(64), rng.randrange(1 << 14)))
    simple: Flip | Cut | Write = rng.choice(
        (
            Flip(position, rng.randint(1, 255)),
            Cut(position, rng.choice((1, 9, 1 << 20))),
            Write(position, rng.choice((1, 2, 4)), rng.choice(("little", "big")), rng.choice((0, 255, 65535, 2**31))),
        )
    )
    part = Part(rng.randrange(64), rng.choice(ACTIONS), rng.choice((1, 3, 600)), simple)
    return rng.choice((simple, part))


def _broken_message(address: Address, rng: random.Random) -> Reply:
    path, messages = rng.choice(
        ((address.infer_path, seeds.v2_messages()), (address.predict_path, seeds.v1_messages()))
    )
    return post(address, path, _broken(rng.choice(messages), rng))


def _wrong_lengths(address: Address, rng: random.Random) -> list[Reply]:
    body = seeds.v2_messages()[0]
    size = rng.choice(("-1", "1e9", "true", '"9"', "99999999999999999999"))
    image = f'{{"name":"image","datatype":"BYTES","shape":[1],"parameters":{{"binary_data_size":{size}}}}}'
    shape = rng.choice(("[1000000000]", "[-1]", "[1,1,1,1,1,1]", "[1e3]", "[]", "[18446744073709551617]"))
    pixels = f'{{"name":"image","datatype":"UINT8","shape":{shape},"data":[1,2,3]}}'
    return [
        post(address, address.infer_path, f'{{"inputs":[{image}]}}'.encode(), [(JSON_LENGTH_HEADER, "200")]),
        post(address, address.infer_path, f'{{"inputs":[{pixels}]}}'.encode()),
        post(address, address.infer_path, body, [(JSON_LENGTH_HEADER, rng.choice(("9" * 5000, "-5", "1.5", "0x10")))]),
        exchange(address, head(address.infer_path, [("Content-Length", "10")]) + body),
        exchange(address, head(address.infer_path, [("Content-Length", rng.choice(("-1", "9" * 30, "1, 2")))]) + body),
        exchange(address, head(address.infer_path, [("Transfer-Encoding", "chunked")]) + b"zz\r\n" + body),
        exchange(
            address,
            head(address.infer_path, [("Transfer-Encoding", "chunked"), ("Content-Length", "5")])
            + b"5\r\nhello\r\n0\r\n\r\n",
        ),
    ]


def _hostile_json(rng: random.Random) -> bytes:
    size = rng.choice((1, 4, 24)) * _MIB
    text = base64.b64encode(b"file").decode()
    kinds: Sequence[Callable[[], bytes]] = (
        lambda: b"[" * size,
        lambda: b"[" * (size // 2) + b"1" + b"]" * (size // 2),
        lambda: b'{"a":' * (size // 5),
        lambda: b'{"inputs":' + b"[" * (size - 40_000) + b"," * 33_002,
        lambda: b"[" + b"[]," * (size // 3) + b"[]]",
        lambda: b"[" + b"{}," * (size // 3) + b"{}]",
        lambda: (
            b'{"inputs":[{"name":"image","datatype":"BYTES","shape":[1],"data":['
            + f'"{text}",'.encode() * (size // 11)
            + f'"{text}"]}}]}}'.encode()
        ),
        lambda: (
            b'{"inputs":[{"name":"image","datatype":"UINT8","shape":[1,1,1,3],"data":[' + b"1," * (size // 2) + b"1]}]}"
        ),
        lambda: b'{"parameters":{' + b",".join(b'"%d":1' % number for number in range(size // 12)) + b"}}",
        lambda: b'{"inputs":[{"name":"' + b"\\u0000" * (size // 6) + b'"}]}',
        lambda: b'{"id":"' + b"i" * size + b'","inputs":[]}',
        lambda: b'{"inputs":[' + b"1" * size + b"]}",
    )
    return rng.choice(kinds)()


def _huge_headers(address: Address, rng: random.Random) -> list[Reply]:
    many = [(f"x-{number}", "v") for number in range(rng.choice((1000, 200_000)))]
    return [
        exchange(address, head("/v2/health/live", many, "GET")),
        exchange(address, head("/v2/health/live", [("x-large", "v" * rng.choice((70_000, 8 * _MIB)))], "GET")),
        exchange(address, head("/" + "p" * rng.choice((9000, _MIB)), [], "GET")),
    ]


def _odd_headers(address: Address, rng: random.Random) -> list[Reply]:
    body = seeds.v2_messages()[0]
    odd = [
        ("x-request-id", "i" * 9000),
        ("x-request-id", "\x7f\xe9 \t'\"<script>"),
        ("X-Request-Timeout-Seconds", rng.choice(("-1", "nan", "1e400", "0.0000001", "9" * 400))),
        ("Content-Encoding", rng.choice(("gzip", "br", "identity, gzip"))),
        ("traceparent", "t" * 7000),
        ("Expect", "100-continue"),
        ("Accept", "application/openmetrics-text;q=" + "9" * 5000),
    ]
    return [post(address, address.infer_path, body, [header]) for header in odd]


def _not_http(address: Address, rng: random.Random) -> list[Reply]:
    said = (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + rng.randbytes(200),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + rng.randbytes(60),
        rng.randbytes(2000),
        b"GET / HTTP/9.9\r\n\r\n",
        b"TRACE /v2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /v2/../../etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /%00%ff%2e%2e HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"POST /v2/models/crowdserve/infer HTTP/1.0\r\n\r\n",
    )
    return [exchange(address, rng.choice(said), wait_seconds=5.0)]


def _hang_up(address: Address, photo: bytes) -> Reply:
    """Send a whole request and leave."""
    body = json.dumps({"instances": [{"image_bytes": {"b64": base64.b64encode(photo).decode()}}]}).encode()
    with suppress(OSError), socket.create_connection((address.host, address.http_port), timeout=5) as connection:
        connection.sendall(head(address.predict_path, [("Content-Length", str(len(body)))]) + body)
    return Reply("left")


def _slow(address: Address, beginning: bytes) -> Reply:
    """Send a byte a second, for as long as the service listens."""
    try:
        with socket.create_connection((address.host, address.http_port), timeout=1) as connection:
            connection.sendall(beginning)
            for _ in range(round(HELD_SECONDS)):
                reply = read_reply(connection)  # waits a second for an answer
                if reply.status != "silent":
                    return reply
                connection.sendall(b"x")
    except OSError:
        return Reply("closed")
    return Reply("held")


def _unfinished(address: Address) -> Reply:
    """Send most of a large body, then nothing."""
    try:
        with socket.create_connection((address.host, address.http_port), timeout=HELD_SECONDS) as connection:
            size = 24 * _MIB
            start = head(address.infer_path, [("Content-Length", str(size))])
            reply = converse(connection, [start, *[bytes(_MIB)] * 20])
    except OSError:
        return Reply("closed")
    return Reply("held") if reply.status == "silent" else reply


def _flood(address: Address, photo: bytes) -> list[Reply]:
    """Many photos at once."""
    with ThreadPoolExecutor(_FLOOD) as threads:
        return list(threads.map(lambda _: _send_file(address, photo), range(_FLOOD)))


def _hostile_grpc(address: Address, rng: random.Random) -> Reply:
    message, metadata = rng.choice(list(_grpc_messages(rng)))
    options = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(f"{address.host}:{address.grpc_port}", options=options) as channel:
        infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        try:
            infer(message, timeout=rng.choice((0.01, 30.0)), metadata=metadata)
        except grpc.RpcError as err:
            return Reply(err.code().name)
        except ValueError:  # metadata that the library refuses to send
            return Reply("unsent")
    return Reply("OK")


def _grpc_messages(rng: random.Random) -> Iterator[tuple[bytes, list[tuple[str, str]]]]:
    tensor = pb.ModelInferRequest.InferInputTensor
    large = tensor(name=IMAGE, datatype="UINT8", shape=[1, 2048, 2048, 3])
    large.contents.uint_contents.extend([200] * (4 * _MIB))
    yield pb.ModelInferRequest(model_name="crowdserve", inputs=[large]).SerializeToString(), []
    yield rng.randbytes(1000), []
    yield bytes(65 * _MIB), []
    for message in seeds.grpc_messages():
        yield _broken(message, rng), []
        yield message, [("x-request-id", "i" * 7000)]
        yield message, [("x-large", "v" * 60_000)]


def wait_of(kind: str) -> float:
    """Pause after an attack, seconds: a flood is followed by some quiet, as its sender tires too."""
    return 3.0 if kind in {"flood", "bombs", "dear files"} else 0.2


def timed(attack: Attack, address: Address, rng: random.Random) -> tuple[Sequence[Reply], float]:
    """The replies of an attack, and how long it took."""
    started = time.monotonic()
    return attack(address, rng), time.monotonic() - started

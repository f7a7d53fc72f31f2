"""Settings of an operator, read once at start: flag > environment variable CROWDSERVE_<NAME> > default."""

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any

from crowdserve.cards import COUNTER_CHOICES, COUNTERS, MODEL_NAME, ROUTE_CHOICES
from crowdserve.errors import SetupError
from crowdserve.images import MAX_PIXELS, MAX_WHOLE_PIXELS
from crowdserve.network import ANY
from crowdserve.scene.names import DEFAULT_NAME, check_name
from crowdserve_transformer import setting_texts as texts


def _setting(default: Any, parse: Callable[[str], Any], meaning: str) -> Any:
    return field(default=default, metadata=_described(parse, meaning))


def _described(parse: Callable[[str], Any], meaning: str) -> dict[str, Any]:
    return {"parse": parse, "meaning": meaning}


_port = texts.whole(1, 65535)
_positive = texts.whole(1)
_processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One transformer's settings; the texts are those of `--help`."""

    model_name: str = _setting(MODEL_NAME, str, "name of the model in every URL")
    model_aliases: str = _setting(
        "",
        texts.names,
        "more names that the model answers to, separated by commas; the chart sets the InferenceService's",
    )
    host: str = _setting(
        ANY,
        texts.own_host,
        "address that REST, gRPC and the metrics listen on; :: is every one, of IPv6 and of IPv4, 0.0.0.0 every one of "
        "IPv4, which gRPC takes for both",
    )
    http_port: int = _setting(8080, _port, "port of REST")
    grpc_port: int = _setting(8081, _port, "port of gRPC")
    metrics_port: int = _setting(8082, texts.whole(0, 65535), "port of GET /metrics; 0 serves it on the REST port")
    console: str = _setting(
        "off",
        texts.console,
        "whether REST has pages at /console: off; alone, to count photos; or the watchers whose cameras they show, "
        "HOST:PORT separated by commas",
    )
    console_hosts: str = _setting(
        "",
        texts.console_hosts,
        "names under which browsers reach those pages, separated by commas, besides addresses and this machine's own: "
        "console.example.com, or *.example.com",
    )
    cors_origins: str = _setting(
        "",
        texts.origins,
        "origins whose pages may send requests from a browser and read the answers, separated by commas: "
        "https://example.com, or * for every page; none if empty",
    )
    predictor_host: str = _setting(
        "127.0.0.1:8000",
        texts.address,
        f"Triton's HTTP address, HOST or HOST:PORT, IPv6 in brackets; port {texts.DEFAULT_PREDICTOR_PORT} if left out",
    )
    predictor_protocol: str = _setting("v2", texts.one_of("v2"), "protocol towards Triton, always v2 over HTTP")
    predictor_use_ssl: bool = _setting(False, texts.truth, "whether Triton is reached over TLS")
    triton_memory_socket: str = _setting(
        "",
        str,
        "Unix socket of the gRPC endpoint of a Triton on the same machine, which has nothing but shared memory: photos "
        "then go there by memory. For one transformer to a Triton, with an IP address as predictor_host; empty: every "
        "photo is sent over HTTP",
    )
    forward_authorization: bool = _setting(
        False,
        texts.truth,
        "whether a caller's Authorization header is sent on to Triton",
    )
    repository: Path = field(
        default=Path("model_repository"),
        metadata=_described(Path, "Triton model repository that holds vgg16/<version>/scene_classifier.json"),
    )
    scene_classifier: str = _setting(
        DEFAULT_NAME, check_name, "name of the scene classifier: NAME for scene_classifier.NAME.json in that folder"
    )
    verify_bundle: str = _setting(
        "auto",
        texts.one_of("auto", "required", "off"),
        "compare the repository with its manifest.json at start: auto (if it has one), required, off",
    )
    bundle_digest: str = _setting(
        "",
        texts.digest,
        "digest that the bundle must have, sha256:… as crowdserve bundle prints it; empty: not compared",
    )
    bundle_public_key: str = _setting(
        "",
        str,
        "PEM file of the public key that the bundle's manifest.json.sig must be signed with; empty: not checked",
    )
    allow_pickle: bool = _setting(
        False,
        texts.truth,
        "whether a scene classifier in a joblib file is read; unpickling runs any code that is in the file",
    )
    route: str = _setting(
        "auto", texts.one_of(*ROUTE_CHOICES), "route of a request that names none: " + "|".join(ROUTE_CHOICES)
    )
    counter: str = _setting(
        COUNTERS[0],
        texts.one_of(*COUNTER_CHOICES),
        "counter of a request that names none: " + "|".join(COUNTER_CHOICES),
    )
    max_body_bytes: int = _setting(64 * 2**20, _positive, "largest request body or gRPC message, bytes")
    memory_bytes: int = _setting(
        2**30,
        _positive,
        "memory that bodies and photos in progress may take, bytes; a quarter of it at most for bodies",
    )
    max_waiting: int = _setting(
        300, _positive, "most requests in progress or waiting; further ones are told to come again later"
    )
    request_timeout_seconds: float = _setting(
        110.0,
        texts.seconds(0.001),
        "longest time from a whole request to its answer, waiting included, seconds; X-Request-Timeout-Seconds and "
        "gRPC's deadline may be shorter",
    )
    max_connections: int = _setting(
        512,
        _positive,
        "most connections over REST, and over gRPC; a new one takes the place of the REST one that has been silent for "
        "longest, over gRPC it is closed",
    )
    max_header_bytes: int = _setting(
        32 * 2**10, _positive, "largest URL, and most bytes of headers of one request or gRPC call"
    )
    max_headers: int = _setting(100, _positive, "most headers of one REST request")
    header_timeout_seconds: float = _setting(
        10.0, texts.seconds(0.001), "longest time from a request's first byte to the end of its headers, seconds"
    )
    body_timeout_seconds: float = _setting(
        10.0,
        texts.seconds(0.001),
        "time in which `min_bytes_per_second` are looked at, as a client sends a body or takes an answer, seconds",
    )
    min_bytes_per_second: int = _setting(
        16 * 2**10, _positive, "slowest client, bytes per second; a slower one gets 408, or its connection is closed"
    )
    max_pixels: int = _setting(
        MAX_PIXELS, _positive, "largest photo, pixels: of a JPEG that is scaled down while it is read (not progressive)"
    )
    max_whole_pixels: int = _setting(
        MAX_WHOLE_PIXELS,
        _positive,
        "largest photo of any other kind, pixels: all of them are in memory at once; max_pixels limits it too",
    )
    decode_seconds: float = _setting(
        10.0,
        texts.seconds(0.1),
        "processor time that decoding a photo of max_pixels, or of max_whole_pixels, may take, seconds; a smaller "
        "photo in proportion, but not less than a tenth",
    )
    max_batch_size: int = _setting(16, _positive, "most photos per request")
    max_concurrent_pictures: int = _setting(4, _positive, "most photos in progress at once, over all requests")
    cpu_threads: int = _setting(
        min(4, _processors),
        _positive,
        "threads that classify scenes and draw heat maps, and as many processes, but two at least, that decode photos",
    )
    triton_timeout_seconds: float = _setting(
        60.0, texts.seconds(0.001), "longest wait for one answer of Triton, seconds"
    )
    triton_away_seconds: float = _setting(
        0.0,
        texts.seconds(0.0),
        "if no Triton can be used: how long photos wait for one, seconds",
    )
    ready_timeout_seconds: float = _setting(2.0, texts.seconds(0.001), "longest wait in a readiness check, seconds")
    drain_seconds: float = _setting(
        5.0, texts.seconds(0.0), "after SIGTERM, how long to keep serving while reporting unready, seconds"
    )
    grace_seconds: float = _setting(
        30.0, texts.seconds(0.0), "after that, longest wait for requests in flight, seconds"
    )
    log_level: str = _setting("INFO", texts.one_of("DEBUG", "INFO", "WARNING", "ERROR"), "least severe messages to log")
    workers: int = _setting(1, texts.one_worker, "server processes, always 1")

    @property
    def model_names(self) -> tuple[str, ...]:
        """Every name that the model answers to; its own comes first."""
        return (self.model_name, *filter(None, self.model_aliases.split(",")))

    @property
    def page_origins(self) -> tuple[str, ...]:
        """Origins whose pages may read answers."""
        return tuple(filter(None, self.cors_origins.split(",")))

    @property
    def pixel_limit(self) -> int:
        """Largest photo of which all pixels are in memory at once."""
        return min(self.max_pixels, self.max_whole_pixels)


def read_settings(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """The settings of a command line and its environment.

    Raises:
        SetupError: If a value cannot be used; the message names the flag or variable.
    """
    flags = vars(_parser().parse_args(list(arguments)))
    chosen: dict[str, Any] = {}
    for setting in fields(Settings):
        variable = environment_variable(setting.name)
        if flags[setting.name] is not None:
            chosen[setting.name] = _parsed(setting, f"--{setting.name}", flags[setting.name])
        elif variable in environment:
            chosen[setting.name] = _parsed(setting, variable, environment[variable])
    return Settings(**chosen)


def environment_variable(name: str) -> str:
    """The environment variable of a setting."""
    return f"CROWDSERVE_{name.upper()}"


def _parsed(setting: "Field[Any]", origin: str, text: str) -> Any:
    try:
        return setting.metadata["parse"](text)
    except ValueError as err:
        raise SetupError(f"{origin} is {text!r}: {err}") from err


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m crowdserve_transformer",
        description="KServe transformer of crowdserve: counts the people in photos with the models of a Triton server.",
        epilog="Each setting may come from the environment variable in brackets; a flag takes precedence.",
        allow_abbrev=False,
    )
    for setting in fields(Settings):
        parser.add_argument(
            f"--{setting.name}",
            *([f"--{setting.name.replace('_', '-')}"] if "_" in setting.name else []),
            dest=setting.name,
            metavar="VALUE",
            help=f"{setting.metadata['meaning']} (default: {setting.default}) [{environment_variable(setting.name)}]",
        )
    return parser

"""Client of a running service: one v2 REST request per photo, with the binary tensor extension.

The photo's bytes travel as they are, and so does the overlay that comes back.
"""

import json
import math
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np
import numpy.typing as npt

from crowdserve.cards import COUNTERS, MODEL_NAME
from crowdserve.certificates import certificate_problem, tls_context
from crowdserve.client.tokens import SERVICE_TOKEN
from crowdserve.errors import (
    CrowdServeError,
    DeadlineExceeded,
    ImageTooLarge,
    InvalidRequest,
    Overloaded,
    SetupError,
    TritonFailed,
    TritonUnavailable,
)
from crowdserve.failures import in_words
from crowdserve.protocol.binary import join_bytes, read_values, split_bytes
from crowdserve.protocol.headers import JSON_LENGTH_HEADER
from crowdserve.protocol.tensors import IMAGE, ZONE_COUNTS, ZONE_NAMES, count_name
from crowdserve.protocol.zones import Zone, described

TIMEOUT_SECONDS = 600.0

_ERRORS: Mapping[int, type[CrowdServeError]] = {
    error.http_status: error
    for error in (InvalidRequest, DeadlineExceeded, ImageTooLarge, Overloaded, TritonUnavailable)
}


class RequestRefused(SetupError):
    """URL, token or certificate are wrong, so that the same request will be refused again."""


@dataclass(frozen=True, slots=True)
class PhotoCount:
    """The service's answer for one photo.

    Attributes:
        count: Number of people.
        scene: The scene that route `auto` follows.
        scene_probability: Probability of that scene.
        scene_unsure: Whether the scene classifier is too unsure to choose the route alone.
        route: The scene whose networks counted.
        counts: Number of people by each counter that ran.
        models: Versions of the models that answered, by name.
        seconds: Time from sending the photo to the last byte of the answer.
        overlay: PNG of the photo with its heat map, if asked for.
        density: Where the people are, if asked for.
        zones: Number of people in each zone of the request, by name.
    """

    count: float
    scene: str
    scene_probability: float
    scene_unsure: bool
    route: str
    counts: Mapping[str, float]
    models: Mapping[str, str]
    seconds: float
    overlay: bytes | None = field(repr=False)
    density: "DensityMap | None" = field(default=None, repr=False)
    zones: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DensityMap:
    """Where the people of a photo are.

    Attributes:
        people: float32 [rows, columns], people per cell; the last cells may reach beyond the photo.
        cell_px: Side of a cell in pixels of the photo as it was sent, upright.
    """

    people: npt.NDArray[np.float32]
    cell_px: float


class ServiceClient:
    """Context manager around the connection to one service.

    Redirects are not followed, so that neither photo nor token reaches a host that the caller did not name.

    Args:
        url: The service's URL, such as ``http://127.0.0.1:8080``; a path in it is kept.
        model: Name of the model in its URLs.
        token: Bearer token to send; None for none.
        use_proxy: Whether the proxy settings of the environment apply.
        timeout_seconds: How long an answer is waited for.
        ca_file: Certificates of authorities to trust besides the usual ones, in PEM or DER.

    Raises:
        SetupError: If the URL is none, or the file has no certificates.
    """

    def __init__(
        self,
        url: str,
        *,
        model: str = MODEL_NAME,
        token: str | None = None,
        use_proxy: bool = True,
        timeout_seconds: float = TIMEOUT_SECONDS,
        ca_file: Path | None = None,
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise SetupError(f"the service's URL is {without_user(url)!r}; expected one like http://127.0.0.1:8080")
        self._url = url.rstrip("/")
        self._shown = without_user(self._url)
        self._model = model
        self._ca_file = ca_file
        self._http = httpx.Client(
            timeout=httpx.Timeout(timeout_seconds, connect=10.0),
            trust_env=use_proxy,
            verify=tls_context(ca_file, url=url),
        )
        if token:
            self._http.headers["Authorization"] = f"Bearer {token}"

    @property
    def url(self) -> str:
        """The service's URL."""
        return self._url

    def __enter__(self) -> "ServiceClient":
        return self

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None, tb: TracebackType | None) -> None:
        self._http.close()

    def count(
        self,
        photo: bytes,
        *,
        route: str | None = None,
        counter: str | None = None,
        overlay: bool = False,
        density: bool = False,
        zones: Sequence[Zone] = (),
    ) -> PhotoCount:
        """Count the people in an encoded photo.

        Args:
            photo: The bytes of an image file.
            route: auto, dense, sparse or blend; the service's default if None.
            counter: A family of counting networks, or average; the service's default if None.
            overlay: Whether to ask for the heat-map overlay.
            density: Whether to ask for the density map.
            zones: Parts of the photo whose people are counted too.

        Raises:
            SetupError: If no crowdserve answers at the URL, or not to this caller.
            CrowdServeError: The error that the service answered instead of a count.
        """
        chosen = {
            "route": route,
            "counter": counter,
            "heatmap": overlay or None,
            "density": density or None,
            "zones": described(zones) if zones else None,
        }
        parameters = {name: value for name, value in chosen.items() if value is not None}
        started = time.perf_counter()
        body, headers = encode_request(photo, parameters)
        reply = self._post(f"{self._url}/v2/models/{quote(self._model, safe='')}/infer", body, headers)
        tensors = decode_reply(reply.content, reply.headers.get(JSON_LENGTH_HEADER))
        return _photo_count(tensors, time.perf_counter() - started)

    def _post(self, url: str, body: bytes, headers: Mapping[str, str]) -> httpx.Response:
        try:
            reply = self._http.post(url, content=body, headers=dict(headers))
        except (httpx.ReadTimeout, httpx.WriteTimeout) as err:
            raise TritonUnavailable(f"{self._shown} did not answer in time; try again later") from err
        except httpx.InvalidURL as err:  # its text may repeat a password
            raise RequestRefused(
                f"{self._shown} cannot be read as a URL; expected one like http://127.0.0.1:8080"
            ) from err
        except httpx.HTTPError as err:
            if problem := certificate_problem(err, self._ca_file):
                raise RequestRefused(f"{self._shown}: {problem}") from err
            raise SetupError(
                f"no service answers at {self._shown} ({in_words(err)}); start one with: crowdserve up"
            ) from err
        if reply.status_code != httpx.codes.OK:
            self._check_access(reply)
            raise _ERRORS.get(reply.status_code, TritonFailed)(_message(reply))
        return reply

    def _check_access(self, reply: httpx.Response) -> None:
        """Fail if URL, model or token is the cause, which would fail every other photo too."""
        answer = f"{self._shown} answered {reply.status_code} {reply.reason_phrase}"
        if reply.status_code in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
            sent = "Authorization" in self._http.headers
            remedy = f"it refuses the token in {SERVICE_TOKEN}" if sent else f"set {SERVICE_TOKEN} to a bearer token"
            raise RequestRefused(f"{answer}: {remedy}")
        if reply.status_code == httpx.codes.NOT_FOUND:
            remedy = "check the URL, and the model's name (--model of count and evaluate)"
            raise SetupError(f"{answer}: no model {self._model!r} there; {remedy}")
        if reply.is_redirect:
            remedy = f"name the service's own URL, or set {SERVICE_TOKEN} if that leads to a login"
            raise RequestRefused(f"{answer}, and redirects are not followed: {remedy}")


def without_user(url: str) -> str:
    """A URL fit for messages: without the user name and password before its host."""
    return re.sub(r"^(\w+://)?.*@", r"\1", url)


def encode_request(photo: bytes, parameters: Mapping[str, Any]) -> tuple[bytes, dict[str, str]]:
    """The body and headers of a v2 request with one encoded photo as a binary BYTES tensor."""
    tensor = join_bytes([photo])
    header = {
        "inputs": [{"name": IMAGE, "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": len(tensor)}}],
        "parameters": {**parameters, "binary_data_output": True},
    }
    text = json.dumps(header).encode()
    return text + tensor, {JSON_LENGTH_HEADER: str(len(text)), "Content-Type": "application/octet-stream"}


def decode_reply(body: bytes, header_length: str | None) -> dict[str, Any]:
    """What every output tensor of a v2 reply says of the first photo: an element, or a list of them; BYTES as bytes.

    Raises:
        TritonFailed: If it is not such a reply.
    """
    try:
        length = int(header_length) if header_length else len(body)
        outputs, offset, values = json.loads(body[:length])["outputs"], length, {}
        for output in outputs:
            size = output.get("parameters", {}).get("binary_data_size")
            if size is None:
                elements = output["data"]
            else:
                elements = _elements(output["datatype"], body[offset : offset + size])
                offset += size
            rest = math.prod(output["shape"][1:])
            values[output["name"]] = elements[0] if len(output["shape"]) == 1 else elements[:rest]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as err:
        raise TritonFailed("the service's answer is not a v2 inference reply; check the URL") from err
    return values


def _elements(datatype: str, raw: bytes) -> list[Any]:
    return split_bytes(raw) if datatype == "BYTES" else read_values(datatype, raw).tolist()


def _photo_count(tensors: Mapping[str, Any], seconds: float) -> PhotoCount:
    """The count in an answer.

    Raises:
        TritonFailed: If the answer lacks a value, or one of them cannot be.
    """
    try:
        return PhotoCount(
            count=_number(tensors["count"]),
            scene=_text(tensors["scene"]),
            scene_probability=_number(tensors["scene_probability"]),
            scene_unsure=bool(tensors.get("scene_unsure", False)),  # versions up to 0.2 do not say it
            route=_text(tensors["route"]),
            counts={name: _number(tensors[count_name(name)]) for name in COUNTERS if count_name(name) in tensors},
            models={str(name): str(version) for name, version in json.loads(tensors["models"]).items()},
            seconds=seconds,
            overlay=tensors.get("heatmap"),
            density=_density(tensors) if "density" in tensors else None,
            zones=_zones(tensors),
        )
    except KeyError as err:
        raise TritonFailed(f"the service's answer has no {err}; it is another version of crowdserve") from err
    except (ValueError, TypeError, AttributeError, RecursionError) as err:
        raise TritonFailed("the service's answer holds a value that cannot be; check the URL") from err


def _density(tensors: Mapping[str, Any]) -> DensityMap:
    rows, columns = (int(side) for side in tensors["density_shape"])
    people = np.array(tensors["density"], dtype=np.float32).reshape(rows, columns)
    return DensityMap(people, _number(tensors["density_cell_px"][0]))


def _zones(tensors: Mapping[str, Any]) -> dict[str, float]:
    names, counts = tensors.get(ZONE_NAMES, ()), tensors.get(ZONE_COUNTS, ())
    return {_text(name): _number(people) for name, people in zip(names, counts, strict=True)}


def _number(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(number)
    return number


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _message(reply: httpx.Response) -> str:
    try:
        return str(reply.json()["error"])
    except (ValueError, LookupError, TypeError, RecursionError):
        return f"the service answered {reply.status_code} {reply.reason_phrase}; check the URL"

"""Asynchronous client of Triton's v2 REST protocol with binary tensors; it raises crowdserve's errors.

The gRPC client is not used: its generated protobuf code cannot share a process with that of the KServe SDK, and binary
HTTP is as fast.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import methodcaller
from typing import Any, TypeVar

import aiohttp
import numpy as np
import numpy.typing as npt
from tritonclient.http import InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from crowdserve.errors import TritonAway, TritonFailed, TritonUnavailable
from crowdserve.triton.connections import TritonConnections

log = logging.getLogger(__name__)

_AWAY_STATUSES = {"404", "502", "503"}
_AWAY_MESSAGES = ("unknown model", "is not found", "not ready", "unavailable")
"""Parts of Triton's messages, status 400 in some releases, for a model not loaded or being replaced."""

_OVERLOAD_STATUSES = {"408", "429", "504"}
_OVERLOAD_MESSAGE = "exceeds maximum queue size"

_UNCOMPRESSED = {"Accept-Encoding": "identity"}
"""aiohttp offers gzip otherwise, and Triton then spends more time compressing floats than some networks run."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class TritonAnswer:
    """Answer of a model.

    Attributes:
        version: Version of the model that ran; for an ensemble, that of the ensemble, not of its members.
        tensors: The outputs asked for, by name; read-only views of the reply.
    """

    version: str
    tensors: Mapping[str, npt.NDArray[Any]]


class TritonClient:
    """A pool of connections to one Triton; use it within one event loop and close it.

    Args:
        address: ``host:port`` of Triton's HTTP endpoint.
        timeout_seconds: Longest wait for one answer, connecting included.
        ready_timeout_seconds: Longest wait for one readiness check.
        use_ssl: Whether to speak TLS.
        connect_to: IP address to connect to, where the host has several; otherwise the host is resolved.
    """

    def __init__(
        self,
        address: str,
        *,
        timeout_seconds: float = 60.0,
        ready_timeout_seconds: float = 2.0,
        use_ssl: bool = False,
        connect_to: str | None = None,
    ) -> None:
        self.address = address
        self.connect_to = connect_to
        self._timeout_seconds = timeout_seconds
        self._ready_timeout_seconds = ready_timeout_seconds
        self._use_ssl = use_ssl
        self._opened: TritonConnections | None = None

    def __str__(self) -> str:
        """The address, for messages."""
        return f"{self.address} ({self.connect_to})" if self.connect_to else self.address

    @property
    def _client(self) -> TritonConnections:
        if self._opened is None:  # an aiohttp session belongs to the loop that is running when it is made
            self._opened = TritonConnections(
                self.address, timeout_seconds=self._timeout_seconds, use_ssl=self._use_ssl, connect_to=self.connect_to
            )
        return self._opened

    async def close(self) -> None:
        """Close all connections; a later call opens new ones."""
        if self._opened is not None:
            client, self._opened = self._opened, None
            await client.close()

    async def infer(
        self,
        model: str,
        tensors: Mapping[str, npt.NDArray[Any]],
        outputs: Sequence[str],
        *,
        request_id: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> TritonAnswer:
        """Run a model.

        Args:
            model: Name in the repository; Triton picks the version.
            tensors: Inputs by name.
            outputs: Outputs to compute; an ensemble skips the steps that none of them needs.
            request_id: Identifier in Triton's log.
            headers: HTTP headers to send along, for tracing.

        Raises:
            TritonAway: If Triton cannot be reached, breaks the connection or has not loaded the model.
            TritonUnavailable: If Triton is too slow or overloaded.
            TritonFailed: If Triton refuses the request or fails in it.
        """
        inputs = [_InputView(name, tensor) for name, tensor in tensors.items()]
        wanted = [InferRequestedOutput(name, binary_data=True) for name in outputs]
        result = await self._call(
            f"infer {model}",
            lambda client: client.infer(
                model, inputs, outputs=wanted, request_id=request_id, headers={**(headers or {}), **_UNCOMPRESSED}
            ),
        )
        found = {name: result.as_numpy(name) for name in outputs}
        missing = [name for name, tensor in found.items() if tensor is None]
        if missing:
            raise TritonFailed(f"Triton's {model} did not return {', '.join(missing)}")
        return TritonAnswer(str(result.get_response().get("model_version", "")), found)

    async def require_ready(self, models: Sequence[str]) -> None:
        """Check that Triton and some of its models are ready.

        Raises:
            TritonUnavailable: If one is not; the message names each that is not.
        """
        checks = {"Triton": self._is_ready(lambda client: client.is_server_ready())}
        checks |= {model: self._is_ready(methodcaller("is_model_ready", model)) for model in models}
        states = dict(zip(checks, await asyncio.gather(*checks.values()), strict=True))
        waiting = [name for name, is_ready in states.items() if not is_ready]
        if waiting:
            raise TritonUnavailable(f"not ready: {', '.join(waiting)}; try again later")

    async def _is_ready(self, check: Callable[[TritonConnections], Awaitable[bool]]) -> bool:
        try:
            return await asyncio.wait_for(self._call("check readiness", check), self._ready_timeout_seconds)
        except (TimeoutError, TritonUnavailable, TritonFailed):
            return False

    async def latest_version(self, model: str) -> str:
        """The version that Triton runs when a request names none: the highest that is loaded.

        Raises:
            TritonAway: If Triton cannot be reached or no version is loaded.
            TritonUnavailable: If Triton is too slow.
        """
        metadata = await self._call(f"metadata of {model}", lambda client: client.get_model_metadata(model))
        versions = [str(version) for version in metadata.get("versions", [])]
        if not versions:
            raise TritonAway(f"no version of {model} is loaded; try again later")
        return max(versions, key=int)

    async def _call(self, what: str, send: Callable[[TritonConnections], Awaitable[_T]]) -> _T:
        try:
            try:
                return await send(self._client)
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as err:
                if isinstance(err, aiohttp.ClientConnectorError):
                    raise
                return await send(self._client)  # a kept-alive connection had gone stale; nothing here changes state
        except InferenceServerException as err:
            raise _error_of(err, what) from err
        except (TimeoutError, aiohttp.ClientError, json.JSONDecodeError, OSError) as err:
            log.warning("%s: Triton at %s: %s: %s", what, self, type(err).__name__, err)
            kind = TritonAway if _broke(err) else TritonUnavailable
            raise kind("Triton does not answer; try again later") from err


class _InputView(InferInput):  # type: ignore[misc]  # tritonclient is untyped
    """An input tensor that goes into the request without a copy."""

    def __init__(self, name: str, tensor: npt.NDArray[Any]) -> None:
        super().__init__(name, list(tensor.shape), np_to_triton_dtype(tensor.dtype))
        self._parameters["binary_data_size"] = tensor.nbytes
        self._raw_data = np.ascontiguousarray(tensor).data.cast("B")


def _broke(err: Exception) -> bool:
    """Whether there was no connection, or it broke before the whole answer came; not so for an answer that is late."""
    if isinstance(err, TimeoutError):
        return isinstance(err, aiohttp.ConnectionTimeoutError)
    return isinstance(err, aiohttp.ClientConnectionError | aiohttp.ClientPayloadError | OSError)


def _error_of(err: InferenceServerException, what: str) -> TritonUnavailable | TritonFailed:
    """The error for a caller; Triton's text goes only to the log, as a caller cannot act on it."""
    status, message = str(err.status()), str(err.message())
    log.warning("%s: Triton answered %s: %s", what, status, message)
    text = "Triton has not loaded a model that is needed, or is overloaded; try again later"
    if status in _OVERLOAD_STATUSES or _OVERLOAD_MESSAGE in message.lower():
        return TritonUnavailable(text)
    if status in _AWAY_STATUSES or any(sign in message.lower() for sign in _AWAY_MESSAGES):
        return TritonAway(text)
    return TritonFailed("Triton could not run a model")

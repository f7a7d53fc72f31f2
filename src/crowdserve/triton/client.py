"""Asynchronous client of Triton's v2 REST protocol with binary tensors; it raises crowdserve's errors.

The gRPC client is not used: its generated protobuf code cannot share a process with that of the KServe SDK, and binary
HTTP is as fast.

Nothing that comes back is believed beyond the protocol: a reply has a largest size, and one that breaks the protocol is
a `TritonWrong`. Whether a tensor is one that the model can have computed is for the caller to judge.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

import aiohttp
import numpy as np
import numpy.typing as npt

from crowdserve.errors import TritonAway, TritonFailed, TritonLate, TritonUnavailable, TritonWrong
from crowdserve.protocol.headers import JSON_LENGTH_HEADER
from crowdserve.triton.connections import Reply, ReplyTooLong, TritonConnections
from crowdserve.triton.memory import Memory, Place
from crowdserve.triton.replies import DTYPES, ReplyUnreadable, error_text, read_execution, read_tensors, read_versions

log = logging.getLogger(__name__)

MAX_REPLY_BYTES = 64 * 2**20
"""Largest answer of a model, where the caller names no other limit."""

MAX_HEAD_BYTES = 64 * 2**10
"""Largest description of an answer, metadata or error."""

_AWAY_STATUSES = {404, 502, 503}
_AWAY_MESSAGES = ("unknown model", "is not found", "not ready", "unavailable")
"""Parts of Triton's messages, status 400 in some releases, for a model not loaded or being replaced."""

_OVERLOAD_STATUSES = {408, 429, 504}
_OVERLOAD_MESSAGE = "exceeds maximum queue size"

_MEMORY_MESSAGE = "shared memory region"
"""Part of Triton's message for memory that it does not know."""

_NAMES = {np.dtype(dtype): name for name, dtype in DTYPES.items()}

_NO_ANSWER = "Triton does not answer; try again later"

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class TritonAnswer:
    """Answer of a model.

    Attributes:
        version: Version of the model that ran; for an ensemble, that of the ensemble, not of its members.
        tensors: The outputs asked for, by name; read-only views of the reply.
        by_memory: Whether every input lay in shared memory.
    """

    version: str
    tensors: Mapping[str, npt.NDArray[Any]]
    by_memory: bool = False


class _MemoryUnknown(TritonFailed):
    """Triton does not know the memory that a request refers to: it was started anew."""


class TritonClient:
    """A pool of connections to one Triton; use it within one event loop and close it.

    Args:
        address: ``host:port`` of Triton's HTTP endpoint.
        timeout_seconds: Longest wait for one answer, connecting included.
        ready_timeout_seconds: Longest wait for one readiness check.
        use_ssl: Whether to speak TLS.
        connect_to: IP address to connect to, where the host has several; otherwise the host is resolved.
        memory: Memory shared with this Triton, by which it gets photos; None to send them.
    """

    def __init__(
        self,
        address: str,
        *,
        timeout_seconds: float = 60.0,
        ready_timeout_seconds: float = 2.0,
        use_ssl: bool = False,
        connect_to: str | None = None,
        memory: Memory | None = None,
    ) -> None:
        self.address = address
        self.connect_to = connect_to
        self._memory = memory
        self._timeout_seconds = timeout_seconds
        self._ready_timeout_seconds = ready_timeout_seconds
        self._use_ssl = use_ssl
        self._opened: TritonConnections | None = None

    def __str__(self) -> str:
        """The address, for messages."""
        return f"{self.address} ({self.connect_to})" if self.connect_to else self.address

    @property
    def _connections(self) -> TritonConnections:
        if self._opened is None:  # an aiohttp session belongs to the loop that is running when it is made
            self._opened = TritonConnections(
                self.address, timeout_seconds=self._timeout_seconds, use_ssl=self._use_ssl, connect_to=self.connect_to
            )
        return self._opened

    async def close(self) -> None:
        """Close all connections; a later call opens new ones."""
        if self._memory is not None:
            await self._memory.close()
        if self._opened is not None:
            connections, self._opened = self._opened, None
            await connections.close()

    async def infer(
        self,
        model: str,
        tensors: Mapping[str, npt.NDArray[Any]],
        outputs: Sequence[str],
        *,
        request_id: str = "",
        headers: Mapping[str, str] | None = None,
        max_bytes: int = MAX_REPLY_BYTES,
    ) -> TritonAnswer:
        """Run a model.

        Args:
            model: Name in the repository; Triton picks the version.
            tensors: Inputs by name.
            outputs: Outputs to compute; an ensemble skips the steps that none of them needs.
            request_id: Identifier in Triton's log.
            headers: HTTP headers to send along, for tracing.
            max_bytes: Most bytes that the outputs can have.

        Raises:
            TritonAway: If Triton cannot be reached, breaks the connection or has not loaded the model.
            TritonLate: If no answer came in time.
            TritonUnavailable: If Triton is overloaded.
            TritonFailed: If Triton refuses the request or fails in it.
            TritonWrong: If the answer breaks the protocol.
        """
        arrays = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}

        async def ask(places: Mapping[str, Place]) -> Reply:
            head = _head(arrays, places, outputs, request_id)
            sent = {
                **(headers or {}),
                JSON_LENGTH_HEADER: str(len(head)),
                "Content-Type": "application/octet-stream",
                "Accept-Encoding": "identity",  # Triton would take more time to compress floats than some networks run
            }
            return await self._call(
                f"run {model}",
                f"/v2/models/{quote(model, safe='')}/infer",
                MAX_HEAD_BYTES + max_bytes,
                parts=[head, *(array.data.cast("B") for name, array in arrays.items() if name not in places)],
                headers=sent,
            )

        reply, places = await _by_memory(self._memory, arrays, ask)
        version, found = self._read(model, reply, lambda whole: read_tensors(whole, outputs))
        return TritonAnswer(version, found, by_memory=places == len(arrays))

    async def require_ready(self, models: Sequence[str]) -> None:
        """Check that Triton and some of its models are ready.

        Raises:
            TritonUnavailable: If one is not; the message names each that is not.
        """
        paths = {"Triton": "/v2/health/ready"} | {each: f"/v2/models/{quote(each, safe='')}/ready" for each in models}
        states = dict(zip(paths, await asyncio.gather(*map(self._is_ready, paths.values())), strict=True))
        waiting = [name for name, is_ready in states.items() if not is_ready]
        if waiting:
            raise TritonUnavailable(f"not ready: {', '.join(waiting)}; try again later")

    async def _is_ready(self, path: str) -> bool:
        try:
            async with asyncio.timeout(self._ready_timeout_seconds):
                await self._call("say whether it is ready", path, MAX_HEAD_BYTES)
        except (TimeoutError, TritonUnavailable, TritonFailed):
            return False
        return True

    async def latest_version(self, model: str) -> str:
        """The version that Triton runs when a request names none: the highest that is loaded.

        Raises:
            TritonAway: If Triton cannot be reached or no version is loaded.
            TritonLate: If no answer came in time.
            TritonWrong: If the answer is no metadata.
        """
        reply = await self._call(f"describe {model}", f"/v2/models/{quote(model, safe='')}", MAX_HEAD_BYTES)
        versions = self._read(model, reply, read_versions)
        if not versions:
            raise TritonAway(f"no version of {model} is loaded; try again later")
        return str(max(versions))

    async def execution(self, model: str) -> str:
        """What runs a model, such as ``openvino-bf16``; empty where its configuration does not say.

        Raises:
            TritonAway: If Triton cannot be reached or the model is not loaded.
            TritonLate: If no answer came in time.
            TritonWrong: If the answer is no configuration.
        """
        reply = await self._call(f"describe {model}", f"/v2/models/{quote(model, safe='')}/config", MAX_HEAD_BYTES)
        return self._read(model, reply, read_execution)

    async def _call(
        self,
        what: str,
        path: str,
        max_bytes: int,
        *,
        parts: Sequence[bytes | memoryview] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """A reply of status 200."""
        try:
            reply = await self._sent(path, max_bytes, parts, headers or {})
        except ReplyTooLong as err:
            log.warning("%s: Triton at %s: a reply of %s", what, self, err)
            raise TritonWrong(f"Triton was to {what} and sent {err}") from err
        except (TimeoutError, aiohttp.ClientError, OSError) as err:
            log.warning("%s: Triton at %s: %s: %s", what, self, type(err).__name__, err)
            raise _kind_of(err)(_NO_ANSWER) from err
        if reply.status != 200:
            raise _error_of(reply, what)
        return reply

    async def _sent(
        self, path: str, max_bytes: int, parts: Sequence[bytes | memoryview] | None, headers: Mapping[str, str]
    ) -> Reply:
        connections = self._connections

        async def send() -> Reply:
            if parts is None:
                return await connections.get(path, max_bytes=max_bytes)
            return await connections.post(path, parts, headers, max_bytes=max_bytes)

        try:
            return await send()
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as err:
            if isinstance(err, aiohttp.ClientConnectorError) or connections is not self._opened:
                raise
            return await send()  # a kept-alive connection had gone stale; nothing here changes state

    def _read(self, model: str, reply: Reply, read: Callable[[Reply], _T]) -> _T:
        try:
            return read(reply)
        except ReplyUnreadable as err:
            log.warning("%s: Triton at %s: the reply cannot be read: %s", model, self, err)
            raise TritonWrong(f"Triton's {model} answered wrongly: {err}") from err


async def _by_memory(
    memory: Memory | None,
    arrays: Mapping[str, npt.NDArray[Any]],
    ask: Callable[[Mapping[str, Place]], Awaitable[Reply]],
) -> tuple[Reply, int]:
    """Ask with the arrays in shared memory that have a place there; with none, if Triton does not know it.

    Returns:
        The reply, and how many arrays Triton read from memory for it.
    """
    if memory is None:
        return await ask({}), 0
    await memory.open()
    with ExitStack() as held:
        found = {name: held.enter_context(memory.placed(array)) for name, array in arrays.items()}
        places = {name: place for name, place in found.items() if place is not None}
        try:
            return await ask(places), len(places)
        except _MemoryUnknown:
            for place in places.values():
                memory.forget(place.region)
    return await ask({}), 0


def _head(
    arrays: Mapping[str, npt.NDArray[Any]], places: Mapping[str, Place], outputs: Sequence[str], request_id: str
) -> bytes:
    """The JSON part of an inference request."""
    inputs = [
        {
            "name": name,
            "shape": list(array.shape),
            "datatype": _NAMES[array.dtype],
            "parameters": _whereabouts(places[name]) if name in places else {"binary_data_size": array.nbytes},
        }
        for name, array in arrays.items()
    ]
    wanted = [{"name": name, "parameters": {"binary_data": True}} for name in outputs]
    return json.dumps({**({"id": request_id} if request_id else {}), "inputs": inputs, "outputs": wanted}).encode()


def _whereabouts(place: Place) -> dict[str, str | int]:
    return {
        "shared_memory_region": place.region,
        "shared_memory_offset": place.offset,
        "shared_memory_byte_size": place.size_bytes,
    }


def _kind_of(err: Exception) -> type[TritonUnavailable]:
    """Whether there was no connection, or it broke before the whole answer came, or the answer is late."""
    if isinstance(err, TimeoutError):
        return TritonAway if isinstance(err, aiohttp.ConnectionTimeoutError) else TritonLate
    broke = isinstance(err, aiohttp.ClientConnectionError | aiohttp.ClientPayloadError | OSError)
    return TritonAway if broke else TritonUnavailable


def _error_of(reply: Reply, what: str) -> TritonUnavailable | TritonFailed:
    """The error for a caller; Triton's text goes only to the log, as a caller cannot act on it."""
    message = error_text(reply)
    log.warning("%s: Triton answered %d: %s", what, reply.status, message)
    text = "Triton has not loaded a model that is needed, or is overloaded; try again later"
    if _MEMORY_MESSAGE in message.lower():
        return _MemoryUnknown(f"Triton could not {what}")
    if reply.status in _OVERLOAD_STATUSES or _OVERLOAD_MESSAGE in message.lower():
        return TritonUnavailable(text)
    if reply.status in _AWAY_STATUSES or any(sign in message.lower() for sign in _AWAY_MESSAGES):
        return TritonAway(text)
    return TritonFailed(f"Triton could not {what}")

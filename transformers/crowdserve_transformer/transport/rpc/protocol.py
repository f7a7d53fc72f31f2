"""The messages of the gRPC protocol: Triton's, of which KServe's is a part.

The KServe SDK and Triton's client register their messages under the same names in protobuf's one pool, so that a
process can have only one of the two. These live in a pool of their own. Their descriptors, `protocol.binpb`, are
written by `python -m tools.grpc_protocol` from Triton's client: the methods that the service has, and what these need.
"""

from importlib.resources import files
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorSet  # type: ignore[import-untyped]
from google.protobuf.descriptor_pool import DescriptorPool  # type: ignore[import-untyped]
from google.protobuf.message_factory import GetMessageClass  # type: ignore[import-untyped]

SERVICE = "inference.GRPCInferenceService"

FILES: tuple[bytes, ...] = tuple(
    file.SerializeToString()
    for file in FileDescriptorSet.FromString(files(__package__).joinpath("protocol.binpb").read_bytes()).file
)
"""The serialized descriptors of the protocol's files; each one comes after those that it needs."""

_POOL = DescriptorPool()
for _file in FILES:
    _POOL.AddSerializedFile(_file)


def message_class(name: str) -> Any:
    """The class of a message of the protocol, such as `ModelInferRequest`."""
    return GetMessageClass(_POOL.FindMessageTypeByName(f"inference.{name}"))


def streamed() -> frozenset[str]:
    """Names of the methods that answer each message of a stream."""
    service = _POOL.FindServiceByName(SERVICE)
    return frozenset(method.name for method in service.methods if method.server_streaming)


def methods() -> dict[str, tuple[Any, Any]]:
    """The classes of request and response of each method, by its name."""
    service = _POOL.FindServiceByName(SERVICE)
    return {
        method.name: (GetMessageClass(method.input_type), GetMessageClass(method.output_type))
        for method in service.methods
    }

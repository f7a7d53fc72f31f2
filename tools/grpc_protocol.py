"""Write the descriptors of the gRPC protocol that the transformer speaks: the part of Triton's that it serves.

    python -m tools.grpc_protocol            writes the file if it is out of date
    python -m tools.grpc_protocol --check    writes nothing, fails instead

The source is Triton's Python client. This process must not import the KServe SDK: both register their messages under
the same names.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet  # type: ignore[import-untyped]

METHODS = (
    "ServerLive",
    "ServerReady",
    "ModelReady",
    "ServerMetadata",
    "ModelMetadata",
    "ModelInfer",
    "ModelStreamInfer",
    "ModelConfig",
    "ModelStatistics",
    "RepositoryIndex",
)
"""The methods of the service, in the protocol's order: nothing that changes it or uses shared memory."""

TARGET = Path(__file__).parents[1] / "transformers/crowdserve_transformer/transport/rpc/protocol.binpb"


def descriptors() -> bytes:
    """The serialized FileDescriptorSet: the methods, and every message that they need."""
    from tritonclient.grpc import service_pb2

    files = [_file(each) for each in (*service_pb2.DESCRIPTOR.dependencies, service_pb2.DESCRIPTOR)]
    (service,) = files[-1].service
    kept = [method for method in service.method if method.name in METHODS]
    del service.method[:]
    service.method.extend(kept)
    needed = _reached(files, [name for method in kept for name in (method.input_type, method.output_type)])
    for file in files:
        _keep(file, needed)
    found: bytes = FileDescriptorSet(file=files).SerializeToString(deterministic=True)
    return found


def _file(descriptor: Any) -> FileDescriptorProto:
    file = FileDescriptorProto()
    descriptor.CopyToProto(file)
    return file


def _reached(files: Iterable[FileDescriptorProto], names: Iterable[str]) -> set[str]:
    """The full names of the top-level messages and enumerations that some types need, their own included."""
    known = {f".{file.package}.{each.name}": each for file in files for each in (*file.message_type, *file.enum_type)}
    waiting, found = [_top(name) for name in names], set[str]()
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            if isinstance(known[name], DescriptorProto):
                waiting += [_top(each) for each in _used(known[name])]
    return found


def _used(message: DescriptorProto) -> Iterator[str]:
    yield from (field.type_name for field in message.field if field.type_name)
    for nested in message.nested_type:
        yield from _used(nested)


def _top(name: str) -> str:
    """The top-level message that a type belongs to: `.package.Message` of `.package.Message.Nested`."""
    return ".".join(name.split(".")[:3])


def _keep(file: FileDescriptorProto, needed: set[str]) -> None:
    for declared in (file.message_type, file.enum_type):
        kept = [each for each in declared if f".{file.package}.{each.name}" in needed]
        del declared[:]
        declared.extend(kept)


def main() -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the file is out of date")
    only_check, content = parser.parse_args().check, descriptors()
    if TARGET.is_file() and TARGET.read_bytes() == content:
        return 0
    if only_check:
        print(f"out of date: {TARGET.name}; run: python -m tools.grpc_protocol", file=sys.stderr)
        return 1
    TARGET.write_bytes(content)
    return 0


if __name__ == "__main__":
    sys.exit(main())

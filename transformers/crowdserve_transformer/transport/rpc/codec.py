"""gRPC messages to tensors and back; see `transport.codec` for the form of an input's `data`."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from kserve import InferInput, InferRequest, InferResponse
from kserve.protocol.infer_type import RequestedOutput

from crowdserve.errors import InvalidRequest, quoted
from crowdserve_transformer.counting.parameters import check_parameters_of
from crowdserve_transformer.counting.request import check_batch
from crowdserve_transformer.transport.codec import from_raw, to_raw
from crowdserve_transformer.transport.json_data import pixels_of
from crowdserve_transformer.transport.rpc.protocol import message_class

_CONTENTS = {"BYTES": "bytes_contents", "UINT8": "uint_contents"}
_PIECE_VALUES = 2**16
_Response = message_class("ModelInferResponse")


def decode_grpc(message: Any, raw: Sequence[memoryview], max_files: int) -> InferRequest:
    """Decode a v2 gRPC request.

    Args:
        message: The ModelInferRequest without its raw_input_contents.
        raw: Those.
        max_files: Most elements of a BYTES tensor.

    Raises:
        InvalidRequest: If raw and typed contents are mixed up.
        ImageTooLarge: If a tensor has more elements.
    """
    if raw and len(raw) != len(message.inputs):
        raise InvalidRequest(f"{len(message.inputs)} inputs but {len(raw)} raw_input_contents; send one per input")
    inputs = []
    for index, tensor in enumerate(message.inputs):
        if raw and tensor.contents.ListFields():  # empty ones are what some libraries write
            raise InvalidRequest(
                f"input {quoted(tensor.name)} has both contents and raw_input_contents; send one of them"
            )
        datatype = tensor.datatype.upper()  # as the SDK does, and REST
        data = from_raw(datatype, raw[index], max_files) if raw else _typed(tensor, datatype, max_files)
        inputs.append(InferInput(tensor.name, list(tensor.shape), datatype, data, _parameters(tensor)))
    return InferRequest(
        model_name=message.model_name,
        infer_inputs=inputs,
        request_id=message.id or None,
        parameters=_parameters(message),
        request_outputs=[RequestedOutput(output.name, _parameters(output)) for output in message.outputs],
    )


def encode_grpc(response: InferResponse, request: InferRequest) -> Any:
    """Encode a v2 gRPC response, a ModelInferResponse with raw contents."""
    described = [{"name": o.name, "datatype": o.datatype, "shape": o.shape} for o in response.outputs]
    return _Response(
        id=response.id,
        model_name=response.model_name,
        model_version=response.model_version,
        outputs=[_Response.InferOutputTensor(**tensor) for tensor in described],
        raw_output_contents=[to_raw(output) for output in response.outputs],
    )


def _parameters(described: Any) -> dict[str, Any]:
    return {name: getattr(p, p.WhichOneof("parameter_choice") or "", None) for name, p in described.parameters.items()}


def _typed(tensor: Any, datatype: str, max_files: int) -> Any:
    check_parameters_of(f"input {quoted(tensor.name)}", _parameters(tensor))
    sent, wanted = [field.name for field, _ in tensor.contents.ListFields()], _CONTENTS.get(datatype)
    if wanted and sent != [wanted]:
        found = " and ".join(sent) or "no contents"
        raise InvalidRequest(
            f"input {quoted(tensor.name)} of datatype {datatype} has {found}; expected {wanted} or raw_input_contents"
        )
    if datatype == "BYTES":
        files = tensor.contents.bytes_contents
        if len(files) > max_files:
            check_batch(len(files), max_files)
        return list(files)
    if datatype == "UINT8":
        values = tensor.contents.uint_contents
        pieces = range(0, max(1, len(values)), _PIECE_VALUES)
        return np.concatenate([pixels_of(values[start : start + _PIECE_VALUES]) for start in pieces])
    return None

"""Count a photo over gRPC: count_grpc.py HOST:PORT MODEL PHOTO TIMEOUT_SECONDS; exit code 0 if a number came back."""

import math
import struct
import sys

import grpc
from kserve.protocol.grpc import grpc_predict_v2_pb2 as messages
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

address, model, photo, timeout_seconds = sys.argv[1:]
with open(photo, "rb") as file:
    content = file.read()
request = messages.ModelInferRequest(
    model_name=model,
    inputs=[messages.ModelInferRequest.InferInputTensor(name="image", datatype="BYTES", shape=[1])],
    raw_input_contents=[struct.pack("<I", len(content)) + content],
)
try:
    with grpc.insecure_channel(address) as channel:
        reply = GRPCInferenceServiceStub(channel).ModelInfer(
            request, timeout=float(timeout_seconds), wait_for_ready=True
        )
except grpc.RpcError as err:
    sys.exit(f"gRPC {address}: {err.code().name} {err.details()}")
outputs = dict(zip((output.name for output in reply.outputs), reply.raw_output_contents, strict=True))
(count,) = struct.unpack("<f", outputs["count"])
if not math.isfinite(count) or count < 0:
    sys.exit(f"gRPC {address}: expected a number of people, got {count}")
print(f"gRPC: {count:.1f} people, scene {outputs['scene'][4:].decode()}")

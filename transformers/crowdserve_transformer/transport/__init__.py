"""Bytes to tensors and back.

REST  body_limit ─► rest ─► codec, v1 ─► json_data ─┐
gRPC  grpc_service ───────► codec ──────────────────┴─► dataplane ─► model ─► … ─► codec ─► bytes

dataplane.py        the one path that every request takes, readiness and metadata
error_responses.py  an exception's HTTP status, gRPC code and message
openapi/            the document of the REST interface, served at /openapi.json
"""

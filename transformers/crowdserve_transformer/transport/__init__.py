"""Bytes to tensors and back.

REST  http_protocol ─► rest ─► bodies ─► body_forms ─► codec, v1 ─► json_limits, json_data ─┐
gRPC  rpc ───────────────────────────────────► codec ──────────────────────────────────────┴─► dataplane ─► model ─► …

connections.py      how many REST connections there are, and how long each may take
caller_headers.py   what is read and passed on of a caller's headers
bodies.py           request bodies within size, pace and memory
inflation.py        compressed ones; answer_coding.py compresses answers
body_forms.py       whether a body is JSON, binary tensors, a form or a photo
forms.py            photos and parameters out of a form
query.py            parameters in the query of a URL
cloud_events.py     events around requests and answers
admission.py        how many requests are taken on
deadlines.py        how long each may take
hang_ups.py         work that ends with its caller
parsers.py          threads that decode
rest_inference.py   inference over REST
rpc/                gRPC
model_config.py     the model as Triton describes one; statistics.py counts as Triton does
dataplane.py        the one path that every request takes, readiness and metadata
error_responses.py  an exception's HTTP status, gRPC code and message
openapi/            the document of the REST interface, served at /openapi.json
"""

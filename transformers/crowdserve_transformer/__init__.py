"""The KServe transformer: photos in, head counts out, over v1 REST, v2 REST and v2 gRPC, with NVIDIA Triton behind it.

bytes ─ transport ─► tensors ─ counting ─► people ─ counting ─► tensors ─ transport ─► bytes
                                  │
                                  └─ backends ─► Triton (crowdserve.triton.client); the scene classifier

transport/   bytes <-> tensors: REST, gRPC, v1, limits, errors
model.py     the model that the KServe SDK calls for every request
counting/    tensors -> people -> tensors
decoding/    files -> pixels, in processes of their own
budget.py    memory of bodies and photos in flight
backends/    the Tritons behind one host name, and which of them a picture goes to
readiness/   checks before the service answers
inference/   calls of one Triton's models, checked, and a breaker for each
server.py    the process: signals, draining            settings.py  flags and environment
ports.py     what it listens on                        threads.py   work that would block the event loop
metrics.py   Prometheus
"""

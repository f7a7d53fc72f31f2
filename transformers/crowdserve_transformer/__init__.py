"""The KServe transformer: photos in, head counts out, over v1 REST, v2 REST and v2 gRPC, with NVIDIA Triton behind it.

bytes ─ codec ─► tensors ─ requests ─► pictures ─ counting ─► people ─ replies ─► tensors ─ codec ─► bytes
                                                     │
                                                     └─ Triton (crowdserve.triton.client) and the scene classifier
"""

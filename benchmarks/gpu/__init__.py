"""Speed and accuracy of the networks on one GPU: `python -m benchmarks.gpu`.

    networks ──► costs ──► speed ──► report
        │                    │          │
        │       ceilings ────┘          │
        └────► numerics ◄── photos      │
               runtimes ────────────────┘

The package needs Python, PyTorch, numpy and Pillow. What else it finds (onnx, onnxruntime-gpu,
TensorRT, Triton) it uses.
"""

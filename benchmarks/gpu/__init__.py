"""Speed and accuracy of the networks on one GPU: `python -m benchmarks.gpu`.

    networks ──► costs ──► speed ◄── plan       runtimes, served_models
        │                    │                     │   onnx_runtime, tensorrt_command, triton_server
        │       ceilings ────┤                     │
        └────► numerics ◄────┼── photos            │
                   │         ▼                     │
                   └────► record ◄─────────────────┘
                             │
                             ▼
                          report

The package needs Python, PyTorch, numpy and Pillow. What else it finds (onnx, onnxruntime-gpu, TensorRT, Triton) it
uses.
"""

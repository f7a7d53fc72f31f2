"""ONNX graphs, written node by node from a neutral chain of steps.

Keras ── keras_chain ──┐
                       ├─► chain ──► builder ──► ONNX
PyTorch ─ torch_chain ─┘
"""

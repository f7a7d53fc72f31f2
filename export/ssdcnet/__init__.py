"""SSDCNet: PyTorch checkpoint -> ONNX.

checkpoint ──► convert ──► graph ──► `export.graph`
"""

"""Converters from training checkpoints to the ONNX files that Triton serves, one module a network."""

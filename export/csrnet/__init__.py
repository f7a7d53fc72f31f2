"""CSRNet: Keras checkpoint -> ONNX, or TFLite for phones.

checkpoint ──► convert ──► `export.graph`, or tflite
"""

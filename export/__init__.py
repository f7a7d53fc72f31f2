"""From a training checkpoint to the ONNX file that Triton serves.

checkpoint ──► csrnet, ssdcnet, vgg16 ──► graph ──► verify ──► publish ──► model_repository/<card>/<version>/
                                                      │           └─ metadata   meta.json
                                                      └─ equal to the framework's network, or nothing is written

csrnet/   `python -m export.csrnet`     graph/    ONNX node by node, from a chain of steps
ssdcnet/  `python -m export.ssdcnet`    verify/   names, axes, dtypes, shapes, values, counts
vgg16.py  `python -m export.vgg16`      command.py  the shared command line of counting networks
"""

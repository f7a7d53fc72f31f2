"""Download Keras' VGG16 with its ImageNet weights into a file; run as a process of its own.

    python -m crowdserve.nets.keras_download vgg16.npz

Networks in PyTorch start from these weights too, and TensorFlow, which Keras brings in, does not share a process with
PyTorch: the compiler `triton` of PyTorch's CUDA build and TensorFlow each bring an LLVM of their own, and importing
`triton` after TensorFlow ends the process with a segmentation fault (seen with triton 3.7.1 and TensorFlow 2.21; the
other order works).
"""

import sys

import keras
import numpy as np

from crowdserve.nets.vgg_layout import CONV_NAMES


def main(target: str) -> None:
    """Write `<convolution>/kernel` [kh, kw, in, out] and `<convolution>/bias` [out], float32."""
    model = keras.applications.VGG16(weights="imagenet", include_top=False)
    arrays = {}
    for name in CONV_NAMES:
        arrays[f"{name}/kernel"], arrays[f"{name}/bias"] = model.get_layer(name).get_weights()
    np.savez(target, **arrays)


if __name__ == "__main__":
    main(sys.argv[1])

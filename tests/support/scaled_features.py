"""A vgg16 whose features are off by a factor, so that it is not the scene classifier's."""

from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper


def scale_features(repository: Path, factor: float) -> None:
    """Replace the small vgg16 of a repository."""
    (file,) = (repository / "vgg16").glob("*/model.onnx")
    network = onnx.load(file)
    (white,) = (constant for constant in network.graph.initializer if constant.name == "white")
    scaled = (numpy_helper.to_array(white) / factor).astype(np.float32)
    white.CopyFrom(numpy_helper.from_array(scaled, white.name))
    file.unlink()
    onnx.save(network, file)

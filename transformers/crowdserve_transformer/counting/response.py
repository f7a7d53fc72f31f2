"""Head counts to v2 tensors: the requested outputs, over all images of a request."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
from kserve import InferResponse
from kserve.protocol.infer_type import InferOutput

from crowdserve.cards import COUNTERS
from crowdserve.protocol.tensors import OUTPUTS, ZONE_COUNTS, ZONE_NAMES, count_name
from crowdserve_transformer.counting.counter import ImageCount
from crowdserve_transformer.counting.density_maps import stacked
from crowdserve_transformer.counting.request import CountRequest

_Images = Sequence[ImageCount]
_Tensor = npt.NDArray[Any]


def _floats(value: Callable[[ImageCount], float]) -> Callable[[_Images], _Tensor]:
    return lambda images: np.array([value(image) for image in images], dtype=np.float32)


def _bytes(value: Callable[[ImageCount], bytes]) -> Callable[[_Images], _Tensor]:
    def tensor(images: _Images) -> _Tensor:
        values = np.empty(len(images), dtype=np.object_)
        values[:] = [value(image) for image in images]
        return values

    return tensor


def _scene(image: ImageCount) -> bytes:
    return image.scene.name.encode() if image.scene else b""


def _scene_probability(image: ImageCount) -> float:
    return image.scene.probabilities[image.scene.name] if image.scene else float("nan")


def _scene_unsure(images: _Images) -> _Tensor:
    return np.array([image.scene is not None and image.scene.unsure for image in images], dtype=np.bool_)


def _count_of(family: str) -> Callable[[_Images], _Tensor]:
    return _floats(lambda image: image.by_counter.get(family, float("nan")))


def _zone_names(images: _Images) -> _Tensor:
    return np.array([[zone.name.encode() for zone in image.zones] for image in images], dtype=np.object_)


def _zone_counts(images: _Images) -> _Tensor:
    return np.array([[zone.people for zone in image.zones] for image in images], dtype=np.float32)


def _densities(images: _Images) -> list[npt.NDArray[np.float32]]:
    return [image.density for image in images if image.density is not None]


_WRITERS: Mapping[str, Callable[[_Images], _Tensor]] = {
    "count": _floats(lambda image: image.people),
    "scene": _bytes(_scene),
    "scene_probability": _floats(_scene_probability),
    "scene_unsure": _scene_unsure,
    **{count_name(family): _count_of(family) for family in COUNTERS},
    "route": _bytes(lambda image: "+".join(image.routes).encode()),
    "models": _bytes(lambda image: orjson.dumps(dict(image.models))),
    "density": lambda images: stacked(_densities(images)),
    "density_shape": lambda images: np.array([d.shape for d in _densities(images)], dtype=np.int64),
    "density_cell_px": lambda images: np.array([image.density_cell_px for image in images], dtype=np.float32),
    "heatmap": _bytes(lambda image: image.heatmap or b""),
    ZONE_NAMES: _zone_names,
    ZONE_COUNTS: _zone_counts,
}


def write_response(
    request: CountRequest, images: Sequence[ImageCount], model_name: str, model_version: str
) -> InferResponse:
    """The v2 response with the outputs that the request chose, as arrays."""
    outputs = []
    for name in request.choices.outputs:
        tensor = _WRITERS[name](images)
        outputs.append(InferOutput(name, list(tensor.shape), OUTPUTS[name].datatype, tensor))
    return InferResponse(request.request_id, model_name, outputs, model_version)

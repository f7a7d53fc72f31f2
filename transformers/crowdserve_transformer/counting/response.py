"""People to v2 tensors: the outputs that were asked for, over all pictures of a request."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
from kserve import InferResponse
from kserve.protocol.infer_type import InferOutput

from crowdserve.cards import COUNTERS
from crowdserve.protocol.tensors import OUTPUTS, count_name
from crowdserve_transformer.counting.counter import PictureCount
from crowdserve_transformer.counting.density_maps import stacked
from crowdserve_transformer.counting.request import CountRequest
from crowdserve_transformer.counting.routing import likely_scene

_Pictures = Sequence[PictureCount]
_Tensor = npt.NDArray[Any]


def _floats(value: Callable[[PictureCount], float]) -> Callable[[_Pictures], _Tensor]:
    return lambda pictures: np.array([value(picture) for picture in pictures], dtype=np.float32)


def _bytes(value: Callable[[PictureCount], bytes]) -> Callable[[_Pictures], _Tensor]:
    def tensor(pictures: _Pictures) -> _Tensor:
        values = np.empty(len(pictures), dtype=np.object_)
        values[:] = [value(picture) for picture in pictures]
        return values

    return tensor


def _scene(picture: PictureCount) -> bytes:
    return likely_scene(picture.scene.probabilities).encode() if picture.scene else b""


def _scene_probability(picture: PictureCount) -> float:
    return max(picture.scene.probabilities.values()) if picture.scene else float("nan")


def _count_of(family: str) -> Callable[[_Pictures], _Tensor]:
    return _floats(lambda picture: picture.by_counter.get(family, float("nan")))


def _densities(pictures: _Pictures) -> list[npt.NDArray[np.float32]]:
    return [picture.density for picture in pictures if picture.density is not None]


_WRITERS: Mapping[str, Callable[[_Pictures], _Tensor]] = {
    "count": _floats(lambda picture: picture.people),
    "scene": _bytes(_scene),
    "scene_probability": _floats(_scene_probability),
    **{count_name(family): _count_of(family) for family in COUNTERS},
    "route": _bytes(lambda picture: "+".join(picture.routes).encode()),
    "models": _bytes(lambda picture: orjson.dumps(dict(picture.models))),
    "density": lambda pictures: stacked(_densities(pictures)),
    "density_shape": lambda pictures: np.array([d.shape for d in _densities(pictures)], dtype=np.int64),
    "heatmap": _bytes(lambda picture: picture.heatmap or b""),
}


def write_response(
    request: CountRequest, pictures: Sequence[PictureCount], model_name: str, model_version: str
) -> InferResponse:
    """The v2 response with the outputs that the request chose, as arrays."""
    outputs = []
    for name in request.choices.outputs:
        tensor = _WRITERS[name](pictures)
        outputs.append(InferOutput(name, list(tensor.shape), OUTPUTS[name].datatype, tensor))
    return InferResponse(request.request_id, model_name, outputs, model_version)

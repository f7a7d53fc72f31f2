"""Names, datatypes and shapes of the v2 tensors: the service's contract with its callers."""

from collections.abc import Mapping
from dataclasses import dataclass

from crowdserve.cards import COUNTERS

IMAGE = "image"
IMAGE_SHAPES: Mapping[str, tuple[int, ...]] = {"BYTES": (-1,), "UINT8": (-1, -1, -1, 3)}
"""Datatypes of the input `image`: encoded files [N], or RGB pixels [N, height, width, 3]."""

FILES_IN_A_COLUMN = (-1, 1)
"""The form of encoded files in metadata: as in Triton, whose tools take off the first axis and send what is left."""

ZONE_NAMES, ZONE_COUNTS = "zone_names", "zone_counts"
"""The outputs [N, Z] of a request with zones."""


@dataclass(frozen=True, slots=True)
class OutputTensor:
    """An output of the service; its first axis counts images.

    Attributes:
        name: Name in v2.
        datatype: Datatype in v2.
        shape: Shape with -1 for a variable length.
        meaning: Description for users.
        optional: Whether it is returned only on request.
        binary: Whether its elements are files, which JSON carries as base64, rather than text.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    meaning: str
    optional: bool = False
    binary: bool = False


def count_name(family: str) -> str:
    """The output that holds one counter's count."""
    return f"count_{family}"


OUTPUTS: Mapping[str, OutputTensor] = {
    tensor.name: tensor
    for tensor in (
        OutputTensor("count", "FP32", (-1,), "people: the mean of the counters that ran"),
        OutputTensor("scene", "BYTES", (-1,), "the scene, dense or sparse, that route `auto` follows"),
        OutputTensor("scene_probability", "FP32", (-1,), "probability of that scene"),
        OutputTensor(
            "scene_unsure", "BOOL", (-1,), "whether that is too little to choose by, so that `auto` asks both routes"
        ),
        *(OutputTensor(count_name(family), "FP32", (-1,), f"people, by {family}") for family in COUNTERS),
        OutputTensor("route", "BYTES", (-1,), "route taken: dense, sparse or, blended, dense+sparse"),
        OutputTensor(
            "models",
            "BYTES",
            (-1,),
            "JSON: versions of the models that answered, such as 1+openvino-bf16",
        ),
        OutputTensor(
            "density",
            "FP32",
            (-1, -1, -1),
            "people per cell of the counter's finest grid, zero-padded to the batch's largest map",
            True,
        ),
        OutputTensor("density_shape", "INT64", (-1, 2), "rows and columns of each map in `density`", True),
        OutputTensor(
            "density_cell_px",
            "FP32",
            (-1, 2),
            "width and height of a cell of each map, in px of the photo as it was sent, upright",
            True,
        ),
        OutputTensor("heatmap", "BYTES", (-1,), "PNG: the photo with its density laid over it", True, True),
        OutputTensor(ZONE_NAMES, "BYTES", (-1, -1), "names of the zones in the parameter `zones`, in its order", True),
        OutputTensor(ZONE_COUNTS, "FP32", (-1, -1), "people in each of those zones", True),
    )
}

"""Model cards: the one place where a fact about a Triton model is typed.

A card describes one network as Triton serves it. `config.pbtxt`, ONNX names and axes, the tensors that the transformer
sends and the tables in the docs are derived from the cards and never retyped. Adding a network means adding its card to
`CARDS`; the ensembles follow from the cards' `routes`.

Every network takes uint8 RGB pictures [batch, height, width, 3]; its normalisation is part of its graph.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from crowdserve.errors import CardError

Dtype = Literal["UINT8", "FP32"]
Route = Literal["dense", "sparse"]
ROUTES: tuple[Route, ...] = ("dense", "sparse")


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A named tensor of a model.

    Attributes:
        name: Name in ONNX and in Triton.
        dtype: KServe v2 datatype.
        axes: One entry an axis after the batch axis: an int is a fixed length, a str names a dynamic axis.
        unit: What one element means.
    """

    name: str
    dtype: Dtype
    axes: tuple[int | str, ...]
    unit: str

    @property
    def dims(self) -> list[int]:
        """Triton's dims: without the batch axis, -1 for a dynamic axis."""
        return [axis if isinstance(axis, int) else -1 for axis in self.axes]


@dataclass(frozen=True, slots=True)
class Normalisation:
    """What a network's graph does to uint8 RGB first: ``(pixels[channel_order] / divisor - mean) / std``.

    `mean` and `std` are in `channel_order`, in units of ``pixel / divisor``.
    """

    channel_order: Literal["RGB", "BGR"]
    divisor: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __post_init__(self) -> None:
        if self.divisor <= 0 or min(self.std) <= 0:
            raise CardError(f"divisor {self.divisor} and std {self.std} must be positive")


@dataclass(frozen=True, slots=True)
class Geometry:
    """Picture sizes that a network takes, in pixels.

    Attributes:
        pad_multiple: Height and width must be multiples of this; callers pad bottom and right.
        output_stride: Pixels a side of one density cell; None where the output is not a map.
        min_side_px: Smallest side after padding.
        max_side_px: Longest side; a larger picture is scaled down.
    """

    pad_multiple: int
    output_stride: int | None
    min_side_px: int
    max_side_px: int

    def __post_init__(self) -> None:
        if self.min_side_px > self.max_side_px:
            raise CardError(f"min_side_px {self.min_side_px} is over max_side_px {self.max_side_px}")
        sizes = {"min_side_px": self.min_side_px, "max_side_px": self.max_side_px}
        for name, side_px in sizes.items():
            if side_px % self.pad_multiple:
                raise CardError(f"{name} {side_px} is not a multiple of pad_multiple {self.pad_multiple}")
        if self.output_stride is not None and self.pad_multiple % self.output_stride:
            raise CardError(f"pad_multiple {self.pad_multiple} is not a multiple of stride {self.output_stride}")

    @property
    def fixed_side_px(self) -> int | None:
        """The one side that the network takes, or None where sizes vary."""
        return self.min_side_px if self.min_side_px == self.max_side_px else None


@dataclass(frozen=True, slots=True)
class Batching:
    """How Triton may merge requests of equal shape."""

    max_batch_size: int
    max_queue_delay_microseconds: int


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far an exported model may be from its framework model (both in FP32 arithmetic).

    Exported weights are stored in FP16. That alone makes differences of up to 8e-4 in the trained networks here and of
    4e-3 in a CSRNet of random weights; a graph of FP32 weights differs by 2e-6.

    Attributes:
        relative: Largest difference of any element, as a share of the framework output's largest magnitude.
        count_people: Largest difference of a head count, as a share of ``max(count, 1)``; None if nothing is counted.
    """

    relative: float
    count_people: float | None = None


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a network comes from."""

    paper: str
    weights: str
    licence: str
    dataset: str


@dataclass(frozen=True, slots=True)
class ModelCard:
    """Everything that is fixed about one Triton model.

    Attributes:
        name: Name in the Triton repository.
        family: The architecture; for a counting network also the value of the `counter` request parameter.
        title: For people.
        parameters: Number of trained parameters.
        input: The picture tensor.
        outputs: In graph order.
        routes: Scenes that this network counts; empty for a network that does not count.
        density_output: The output that is a density map (people a cell); None for a network that does not count.
    """

    name: str
    family: str
    title: str
    parameters: int
    input: TensorSpec
    outputs: tuple[TensorSpec, ...]
    normalisation: Normalisation
    geometry: Geometry
    batching: Batching
    tolerance: Tolerance
    provenance: Provenance
    routes: tuple[Route, ...] = ()
    density_output: str | None = None

    def __post_init__(self) -> None:
        if self.input.dtype != "UINT8" or len(self.input.axes) != 3 or self.input.axes[-1] != 3:
            raise CardError(f"{self.name}: input must be UINT8 [height, width, 3], not {self.input}")
        names = [tensor.name for tensor in self.outputs]
        if len(set(names)) != len(names):
            raise CardError(f"{self.name}: output names repeat: {names}")
        if bool(self.routes) != (self.density_output is not None):
            raise CardError(f"{self.name}: a network has routes exactly when it has a density output")
        if self.density_output is not None:
            if self.density_output not in names:
                raise CardError(f"{self.name}: density output {self.density_output!r} is not one of {names}")
            if self.geometry.output_stride is None:
                raise CardError(f"{self.name}: a density map needs an output_stride")

    def output(self, name: str) -> TensorSpec:
        """The output tensor called `name`.

        Raises:
            CardError: If there is none.
        """
        for tensor in self.outputs:
            if tensor.name == name:
                return tensor
        raise CardError(f"{self.name} has no output {name!r}, only {[t.name for t in self.outputs]}")


@dataclass(frozen=True, slots=True)
class EnsembleCard:
    """A Triton ensemble that runs every counting network of one route side by side on one picture.

    An output of a member is called ``<family>_<output>`` here, for instance ``csrnet_density``. Triton runs only the
    members whose outputs a request asks for.
    """

    name: str
    route: Route
    members: tuple[ModelCard, ...]

    def __post_init__(self) -> None:
        families = [member.family for member in self.members]
        if not families or len(set(families)) != len(families):
            raise CardError(f"{self.name}: needs one member a family, has {families}")

    @property
    def input(self) -> TensorSpec:
        """The picture tensor, the same for every member."""
        return self.members[0].input

    @property
    def max_batch_size(self) -> int:
        """The largest batch that every member takes."""
        return min(member.batching.max_batch_size for member in self.members)

    def member(self, family: str) -> ModelCard:
        """The member of a family.

        Raises:
            CardError: If the route has no such network.
        """
        for member in self.members:
            if member.family == family:
                return member
        raise CardError(f"{self.name} has no {family!r}, only {[m.family for m in self.members]}")

    def output_name(self, member: ModelCard, tensor: TensorSpec) -> str:
        """What the ensemble calls a member's output."""
        return f"{member.family}_{tensor.name}"


IMAGENET_CAFFE = Normalisation("BGR", 1.0, (103.939, 116.779, 123.68), (1.0, 1.0, 1.0))
"""What Keras' VGG16 weights expect: BGR 0–255 less the ImageNet mean (Simonyan and Zisserman 2015)."""

IMAGENET_TORCH = Normalisation("RGB", 255.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""What torchvision's VGG16 weights, and the published CSRNet checkpoints, expect."""

NORMALISATIONS: Mapping[str, Normalisation] = MappingProxyType(
    {"imagenet_caffe": IMAGENET_CAFFE, "imagenet_torch": IMAGENET_TORCH}
)

_PHOTO = TensorSpec("image", "UINT8", ("height", "width", 3), "RGB 0-255")


def _csrnet(part: Literal["A", "B"], route: Route) -> ModelCard:
    return ModelCard(
        name=f"csrnet_{part.lower()}",
        family="csrnet",
        title=f"CSRNet {part}",
        parameters=16_263_489,
        input=_PHOTO,
        outputs=(
            TensorSpec("density", "FP32", ("height/8", "width/8"), "people a cell of 8x8 px"),
            TensorSpec("count", "FP32", (1,), "people, padding included"),
        ),
        normalisation=IMAGENET_CAFFE,
        geometry=Geometry(pad_multiple=8, output_stride=8, min_side_px=64, max_side_px=2048),
        batching=Batching(max_batch_size=4, max_queue_delay_microseconds=2_000),
        tolerance=Tolerance(relative=5e-3, count_people=2e-3),
        provenance=Provenance(
            paper="Li, Zhang, Chen: CSRNet, CVPR 2018",
            weights="front-end: ImageNet VGG16 (Oxford VGG, CC BY 4.0); back-end: trained by training/csrnet.py",
            licence="CC BY 4.0 (front-end), Apache-2.0 (back-end)",
            dataset=f"ShanghaiTech Part {part}, training half",
        ),
        routes=(route,),
        density_output="density",
    )


VGG16 = ModelCard(
    name="vgg16",
    family="vgg16",
    title="VGG16 without head",
    parameters=14_714_688,
    input=TensorSpec("image", "UINT8", (224, 224, 3), "RGB 0-255"),
    outputs=(TensorSpec("features", "FP32", (25_088,), "block5_pool activations, flattened in NHWC order"),),
    normalisation=IMAGENET_CAFFE,
    geometry=Geometry(pad_multiple=224, output_stride=None, min_side_px=224, max_side_px=224),
    batching=Batching(max_batch_size=32, max_queue_delay_microseconds=2_000),
    tolerance=Tolerance(relative=2e-3),
    provenance=Provenance(
        paper="Simonyan, Zisserman: VGG, ICLR 2015",
        weights="ImageNet VGG16 (Oxford VGG)",
        licence="CC BY 4.0",
        dataset="ImageNet (ILSVRC)",
    ),
)

CARDS: Mapping[str, ModelCard] = MappingProxyType(
    {card.name: card for card in (VGG16, _csrnet("A", "dense"), _csrnet("B", "sparse"))}
)
"""Every network, by its name in Triton."""

ENSEMBLES: Mapping[Route, EnsembleCard] = MappingProxyType(
    {
        route: EnsembleCard(f"crowd_{route}", route, tuple(c for c in CARDS.values() if route in c.routes))
        for route in ROUTES
    }
)
"""The ensemble of each route."""

COUNTERS: tuple[str, ...] = tuple(dict.fromkeys(m.family for e in ENSEMBLES.values() for m in e.members))
"""Families that count, in the order of their cards: the values of the `counter` request parameter."""

ROUTE_CHOICES: tuple[str, ...] = ("auto", *ROUTES, "blend")
"""Values of the `route` request parameter: the classifier's choice, a route, or both weighed by its probabilities."""

COUNTER_CHOICES: tuple[str, ...] = (*COUNTERS, "average")
"""Values of the `counter` request parameter."""


def find_card(name: str) -> ModelCard:
    """The card of a Triton model.

    Raises:
        CardError: If no card has that name.
    """
    try:
        return CARDS[name]
    except KeyError:
        raise CardError(f"no model card {name!r}; there are {', '.join(CARDS)}") from None

"""Types of a model card and their consistency checks; the cards themselves are in `crowdserve.cards.catalog`."""

from dataclasses import dataclass
from typing import Literal

from crowdserve.errors import CardError

Dtype = Literal["UINT8", "FP32"]
Precision = Literal["fp32", "bf16", "int8"]
SceneRoute = Literal["dense", "sparse"]
ROUTES: tuple[SceneRoute, ...] = ("dense", "sparse")


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A named tensor of a model.

    Attributes:
        name: Name in ONNX and in Triton.
        dtype: KServe v2 datatype.
        axes: One entry per axis after the batch axis: an int is a fixed length, a str names a dynamic axis.
        unit: Meaning of one element.
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
    """First step of a network's graph on uint8 RGB: ``(pixels[channel_order] / divisor - mean) / std``.

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
    """Image sizes that a network takes, in pixels.

    Attributes:
        pad_multiple: Height and width must be multiples of this; callers pad bottom and right.
        output_stride: Side of one density cell; None where the output is not a map.
        min_side_px: Smallest side after padding.
        max_side_px: Longest side; a larger image is scaled down.
        internal_pad_multiple: Multiple to which the network's own graph pads height and width, with black; None
            where it pads nothing. A map covers the image with that padding.
    """

    pad_multiple: int
    output_stride: int | None
    min_side_px: int
    max_side_px: int
    internal_pad_multiple: int | None = None

    def __post_init__(self) -> None:
        if self.min_side_px > self.max_side_px:
            raise CardError(f"min_side_px {self.min_side_px} is over max_side_px {self.max_side_px}")
        sizes = {"min_side_px": self.min_side_px, "max_side_px": self.max_side_px}
        for name, side_px in sizes.items():
            if side_px % self.pad_multiple:
                raise CardError(f"{name} {side_px} is not a multiple of pad_multiple {self.pad_multiple}")
        if self.internal_pad_multiple is not None and self.internal_pad_multiple % self.pad_multiple:
            raise CardError(
                f"internal_pad_multiple {self.internal_pad_multiple} is not a multiple of "
                f"pad_multiple {self.pad_multiple}"
            )
        multiple = self.map_multiple
        if self.output_stride is not None and multiple % self.output_stride:
            raise CardError(f"map_multiple {multiple} is not a multiple of stride {self.output_stride}")

    @property
    def map_multiple(self) -> int:
        """Multiple that height and width of the area covered by a map have."""
        return self.internal_pad_multiple or self.pad_multiple

    @property
    def fixed_side_px(self) -> int | None:
        """The one side that the network takes, or None where sizes vary."""
        return self.min_side_px if self.min_side_px == self.max_side_px else None


@dataclass(frozen=True, slots=True)
class Batching:
    """Limits within which Triton may merge requests of equal shape."""

    max_batch_size: int
    max_queue_delay_microseconds: int


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Largest allowed difference between two ways to run a network: exported and in its framework, bfloat16 and FP32.

    Exported weights are stored in FP16. That alone makes differences of up to 8e-4 in the trained networks here and of
    4e-3 in a CSRNet of random weights; a graph of FP32 weights differs by 2e-6. In an SSDCNet of random weights up to
    0.5 % of the cells get another class, and the count changes by up to 3e-3.

    Attributes:
        relative: Largest difference of any element, as a share of the framework output's largest magnitude.
        count_people: Largest difference of a head count, as a share of ``max(count, count_floor)``; None if nothing is
            counted.
        count_floor: People below which a count's difference is judged absolutely.
        outlier_share: Share of an output's elements that `relative` does not bind: a network that chooses a class may
            choose its neighbour where two are all but equal; the output then jumps by a whole class.
    """

    relative: float
    count_people: float | None = None
    count_floor: float = 1.0
    outlier_share: float = 0.0


@dataclass(frozen=True, slots=True)
class Quantisation:
    """How a network is computed in 8 bits, and what that may cost.

    Attributes:
        kept_layers: Names of the convolutions that stay in bfloat16.
        mae_loss: Largest growth of the mean absolute error of all validation photos, as a share of that in FP32.
        bin_loss: The same for the photos of each bin of head counts.
        tolerance: Largest difference of its answers from those in FP32.
    """

    kept_layers: tuple[str, ...]
    mae_loss: float
    bin_loss: float
    tolerance: Tolerance


@dataclass(frozen=True, slots=True)
class Provenance:
    """Origin of a network."""

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
        title: Name in texts for people.
        parameters: Number of trained parameters.
        input: The image tensor.
        outputs: The output tensors, in graph order.
        tolerance: Largest difference of the exported network from the framework's.
        bf16_tolerance: Largest difference of its answers in bfloat16 from those in FP32.
        quantisation: How it is served in 8 bits; None for a network that is not.
        routes: Scenes that this network counts; empty for a network that does not count.
        density_output: Name of the density map output (people per cell); None for a network that does not count.
        max_local_count: Upper end of the classes of a network that classifies counts, people per cell; None for others.
        published_normalisation: Input of the weights that others published for this network; None if unknown.
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
    bf16_tolerance: Tolerance
    provenance: Provenance
    quantisation: Quantisation | None = None
    routes: tuple[SceneRoute, ...] = ()
    density_output: str | None = None
    max_local_count: float | None = None
    published_normalisation: Normalisation | None = None

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
    """A Triton ensemble that runs every counting network of one route side by side on one image.

    An output of a member is called ``<family>_<output>`` here, for instance ``csrnet_density``. Triton runs only the
    members whose outputs a request asks for.
    """

    name: str
    route: SceneRoute
    members: tuple[ModelCard, ...]

    def __post_init__(self) -> None:
        families = [member.family for member in self.members]
        if not families or len(set(families)) != len(families):
            raise CardError(f"{self.name}: needs one member per family, has {families}")

    @property
    def input(self) -> TensorSpec:
        """The image tensor, the same for every member."""
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
        """Name of a member's output in the ensemble."""
        return f"{member.family}_{tensor.name}"

"""The cards: one literal per network that Triton serves, and the ensembles that follow from their routes.

`config.pbtxt`, ONNX names and axes, the tensors that the transformer sends and the tables in the docs are derived from
the cards and never retyped. Adding a network means adding its card to `CARDS`. Variants for other data sets are in
`VARIANTS`.

Every network takes uint8 RGB images [batch, height, width, 3]; its normalisation is part of its graph.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from crowdserve.cards.schema import (
    ROUTES,
    Batching,
    EnsembleCard,
    Geometry,
    ModelCard,
    Normalisation,
    Provenance,
    Quantisation,
    SceneRoute,
    TensorSpec,
    Tolerance,
)
from crowdserve.errors import CardError

MODEL_NAME = "crowdserve"
"""Default name of the whole service in the Open Inference protocol; an operator may set another."""

IMAGENET_CAFFE = Normalisation("BGR", 1.0, (103.939, 116.779, 123.68), (1.0, 1.0, 1.0))
"""Input of Keras' VGG16 weights: BGR 0–255 less the ImageNet mean (Simonyan and Zisserman 2015)."""

IMAGENET_TORCH = Normalisation("RGB", 255.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Input of torchvision's VGG16 weights and of the published CSRNet checkpoints."""

IMAGENET_UNIT = Normalisation("RGB", 255.0, (123.68 / 255, 116.779 / 255, 103.939 / 255), (1.0, 1.0, 1.0))
"""`IMAGENET_CAFFE` for networks that take RGB 0–1: input of the SSDCNets trained here."""

SHANGHAITECH_A = Normalisation("RGB", 255.0, (0.4095, 0.3692, 0.3595), (1.0, 1.0, 1.0))
"""RGB 0–1 less the mean of Part A, as published with the SS-DCNet checkpoint that was trained on it."""

SHANGHAITECH_B = Normalisation("RGB", 255.0, (0.4516, 0.4469, 0.4315), (1.0, 1.0, 1.0))
"""RGB 0–1 less the mean of Part B, measured on its training half."""

NORMALISATIONS: Mapping[str, Normalisation] = MappingProxyType(
    {
        "imagenet_caffe": IMAGENET_CAFFE,
        "imagenet_torch": IMAGENET_TORCH,
        "imagenet_unit": IMAGENET_UNIT,
        "shanghaitech_a": SHANGHAITECH_A,
        "shanghaitech_b": SHANGHAITECH_B,
    }
)


def normalisation_name(normalisation: Normalisation) -> str:
    """The key of a normalisation in `NORMALISATIONS`."""
    return next(name for name, known in NORMALISATIONS.items() if known == normalisation)


_PHOTO = TensorSpec("image", "UINT8", ("height", "width", 3), "RGB 0-255")


def _csrnet(part: Literal["A", "B"], route: SceneRoute, also: str = "") -> ModelCard:
    return ModelCard(
        name=f"csrnet_{part.lower()}",
        family="csrnet",
        title=f"CSRNet {part}",
        parameters=16_263_489,
        input=_PHOTO,
        outputs=(
            TensorSpec("density", "FP32", ("height/8", "width/8"), "people per 8x8 px cell"),
            TensorSpec("count", "FP32", (1,), "people, padding included"),
        ),
        normalisation=IMAGENET_CAFFE,
        geometry=Geometry(pad_multiple=8, output_stride=8, min_side_px=64, max_side_px=2048),
        batching=Batching(max_batch_size=4, max_queue_delay_microseconds=2_000),
        tolerance=Tolerance(relative=5e-3, count_people=2e-3),
        bf16_tolerance=Tolerance(relative=2e-2, count_people=1e-2, count_floor=50.0),
        provenance=Provenance(
            paper="Li, Zhang, Chen: CSRNet, CVPR 2018",
            weights="front-end: from ImageNet VGG16 (Oxford VGG, CC BY 4.0), block 4 trained further in runs with "
            "last_block, all but its first two layers in runs of training.gpu; the rest: trained by training/csrnet",
            licence="CC BY 4.0 (front-end), Apache-2.0 (the rest)",
            dataset=f"ShanghaiTech Part {part}, training half" + also,
        ),
        quantisation=Quantisation(
            kept_layers=("block1_conv1", "dilated_conv4", "dilated_conv5", "dilated_conv6", "density"),
            mae_loss=0.01,
            bin_loss=0.03,
            tolerance=Tolerance(relative=0.1, count_people=5e-2, count_floor=50.0),
        ),
        routes=(route,),
        density_output="density",
        published_normalisation=IMAGENET_TORCH,
    )


def _ssdcnet(
    variant: str, max_local_count: float, route: SceneRoute, dataset: str, published: Normalisation | None
) -> ModelCard:
    """SS-DCNet; a variant's classes of count end at `max_local_count`, set by the densest cells of its data set."""
    classes = 11 + round(2 * max_local_count)
    side = "4 ceil({}/64)"
    return ModelCard(
        name=f"ssdcnet_{variant.lower()}",
        family="ssdcnet",
        title=f"SSDCNet {variant}",
        parameters=28_482_370 + 513 * classes,
        input=_PHOTO,
        outputs=(
            TensorSpec("map", "FP32", (side.format("height"), side.format("width")), "people per 16x16 px cell"),
            TensorSpec("count", "FP32", (1,), "people, padding included"),
        ),
        normalisation=IMAGENET_UNIT,
        geometry=Geometry(pad_multiple=8, output_stride=16, min_side_px=64, max_side_px=2048, internal_pad_multiple=64),
        batching=Batching(max_batch_size=4, max_queue_delay_microseconds=2_000),
        # Half a person, the step between two classes, or 1 %: one cell may fall on the other side of an edge.
        tolerance=Tolerance(relative=5e-3, count_people=1e-2, count_floor=50.0, outlier_share=0.02),
        bf16_tolerance=Tolerance(relative=2e-2, count_people=5e-2, count_floor=50.0, outlier_share=0.07),
        provenance=Provenance(
            paper="Xiong et al.: From Open Set to Closed Set, 2020 (SS-DCNet)",
            weights="front-end: from ImageNet VGG16 (Oxford VGG, CC BY 4.0), last blocks trained further in runs with "
            "trained_blocks; the rest: trained by training/ssdcnet",
            licence="CC BY 4.0 (front-end), Apache-2.0 (the rest)",
            dataset=dataset,
        ),
        routes=(route,),
        density_output="map",
        max_local_count=max_local_count,
        published_normalisation=published,
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
    bf16_tolerance=Tolerance(relative=3e-2),
    provenance=Provenance(
        paper="Simonyan, Zisserman: VGG, ICLR 2015",
        weights="ImageNet VGG16 (Oxford VGG)",
        licence="CC BY 4.0",
        dataset="ImageNet (ILSVRC)",
    ),
)

CARDS: Mapping[str, ModelCard] = MappingProxyType(
    {
        card.name: card
        for card in (
            VGG16,
            _csrnet("A", "dense", "; station cameras of Beijing BRT, training half"),
            _csrnet("B", "sparse"),
            _ssdcnet("SHA", 22, "dense", "ShanghaiTech Part A, training half", SHANGHAITECH_A),
            _ssdcnet("SHB", 7, "sparse", "ShanghaiTech Part B, training half", SHANGHAITECH_B),
        )
    }
)
"""Every network that is served, by its name in Triton."""

VARIANTS: Mapping[str, ModelCard] = MappingProxyType(
    {card.name: card for card in (_ssdcnet("QNRF", 8, "dense", "UCF-QNRF, training half", None),)}
)
"""Networks that can be trained and exported but are not served: a route runs one network per family.

To serve one, put its card into `CARDS` in place of the one of its family and route, and run `make generate`.
"""

ENSEMBLES: Mapping[SceneRoute, EnsembleCard] = MappingProxyType(
    {
        route: EnsembleCard(f"crowd_{route}", route, tuple(c for c in CARDS.values() if route in c.routes))
        for route in ROUTES
    }
)
"""The ensemble of each route."""

COUNTERS: tuple[str, ...] = tuple(dict.fromkeys(m.family for e in ENSEMBLES.values() for m in e.members))
"""Families that count, in the order of their cards: the values of the `counter` request parameter."""

ROUTE_CHOICES: tuple[str, ...] = ("auto", *ROUTES, "blend")
"""Values of the `route` request parameter: the classifier's choice, a route, or both weighted by its probabilities."""

COUNTER_CHOICES: tuple[str, ...] = (*COUNTERS, "average")
"""Values of the `counter` request parameter."""


def cards_of(*families: str) -> list[ModelCard]:
    """Every card of some families, variants included."""
    return [card for card in (*CARDS.values(), *VARIANTS.values()) if card.family in families]


def find_card(name: str) -> ModelCard:
    """The card of a Triton model, or of a variant.

    Raises:
        CardError: If no card has that name.
    """
    known = {**CARDS, **VARIANTS}
    try:
        return known[name]
    except KeyError:
        raise CardError(f"no model card {name!r}; there are {', '.join(known)}") from None

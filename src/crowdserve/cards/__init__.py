"""Model cards: the one place where a fact about a Triton model is typed.

    schema ──► catalog ──► config.pbtxt, ONNX names and axes, the transformer's tensors, tables in the docs
                  │
                  └──────► records      what training and evaluation found, beside each model file

    schema.py    what a card consists of          catalog.py   the cards: CARDS, ENSEMBLES, VARIANTS
    records.py   meta.json and evaluation.json in a model's version folder
    versions.py  a version and what runs it, as replies tell them

Import cards from here: `from crowdserve.cards import CARDS`.
"""

from crowdserve.cards.catalog import (
    CARDS,
    COUNTER_CHOICES,
    COUNTERS,
    ENSEMBLES,
    IMAGENET_CAFFE,
    IMAGENET_TORCH,
    IMAGENET_UNIT,
    MODEL_NAME,
    NORMALISATIONS,
    ROUTE_CHOICES,
    SHANGHAITECH_A,
    SHANGHAITECH_B,
    VARIANTS,
    VGG16,
    cards_of,
    find_card,
    normalisation_name,
)
from crowdserve.cards.schema import (
    ROUTES,
    Batching,
    EnsembleCard,
    Geometry,
    ModelCard,
    Normalisation,
    Precision,
    Provenance,
    SceneRoute,
    TensorSpec,
    Tolerance,
)

__all__ = [
    "CARDS",
    "COUNTERS",
    "COUNTER_CHOICES",
    "ENSEMBLES",
    "IMAGENET_CAFFE",
    "IMAGENET_TORCH",
    "IMAGENET_UNIT",
    "MODEL_NAME",
    "NORMALISATIONS",
    "ROUTES",
    "ROUTE_CHOICES",
    "SHANGHAITECH_A",
    "SHANGHAITECH_B",
    "VARIANTS",
    "VGG16",
    "Batching",
    "EnsembleCard",
    "Geometry",
    "ModelCard",
    "Normalisation",
    "Precision",
    "Provenance",
    "SceneRoute",
    "TensorSpec",
    "Tolerance",
    "cards_of",
    "find_card",
    "normalisation_name",
]

"""The networks that are served in 8 bits, by the real Triton; those beside them run as test_networks.py has them."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from crowdserve.cards import CARDS, ModelCard
from crowdserve.local.precision import has_int8
from crowdserve.local.triton import EmbeddedTriton
from export.verify.images import PHOTO, check_images, read_photo
from export.verify.parity import compare_outputs
from tests.support.served_networks import bare, served

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not has_int8(), reason="this processor has no AVX2"),
]

QUANTISED = [card for card in CARDS.values() if card.quantisation]


@pytest.fixture(scope="module")
def triton(embedded_repository: Path) -> Iterator[EmbeddedTriton]:
    with EmbeddedTriton(embedded_repository, precision="int8") as running:
        yield running


@pytest.mark.parametrize("card", QUANTISED, ids=lambda card: card.name)
def test_network_in_8_bits_agrees_with_onnxruntime(
    triton: EmbeddedTriton, embedded_repository: Path, card: ModelCard
) -> None:
    assert card.quantisation
    wanted = replace(card, tolerance=card.quantisation.tolerance)
    names = [tensor.name for tensor in card.outputs]
    images = check_images(read_photo(PHOTO), card.geometry)[-2:]
    found = compare_outputs(
        wanted, bare(embedded_repository, card), lambda batch: served(triton, card.name, batch, names), images
    )
    assert max(each.difference for each in found) > 1e-3, "this is the arithmetic of bfloat16 or FP32"

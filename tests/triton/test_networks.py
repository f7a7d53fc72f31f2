"""The project's networks: the real Triton agrees with onnxruntime on the same files; in 8 bits: test_eight_bits.py."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.process_stats import descendants
from crowdserve.cards import CARDS, ENSEMBLES, EnsembleCard, Geometry, ModelCard, Precision
from crowdserve.local.precision import has_bf16
from crowdserve.local.triton import EmbeddedTriton
from export.verify.images import PHOTO, check_images, read_photo, scaled
from export.verify.parity import Images, compare_outputs
from tests.support.served_networks import bare, served

pytestmark = pytest.mark.e2e

IDLE_BYTES = 60 << 20
"""Memory of a network that nobody has asked: its process, Python, numpy, a runtime; a loaded one has 110 MB or more."""


@pytest.fixture(scope="module", params=["fp32", "bf16"])
def precision(request: pytest.FixtureRequest) -> Precision:
    """Each precision of all networks that this processor has."""
    if request.param == "bf16" and not has_bf16():
        pytest.skip("this processor does not multiply bfloat16 numbers; see test_python_backend.py")
    return request.param


@pytest.fixture(scope="module")
def triton(embedded_repository: Path, precision: Precision) -> Iterator[EmbeddedTriton]:
    """The real Triton with the project's models, in one precision."""
    with EmbeddedTriton(embedded_repository, precision=precision) as running:
        yield running


def odd_photo(geometry: Geometry) -> Images:
    """A small photo, wider than high by the least that the service pads to."""
    side_px = 2 * geometry.min_side_px
    return scaled(read_photo(PHOTO), side_px, side_px + geometry.pad_multiple)


def memory_of_networks(triton: EmbeddedTriton) -> list[int]:
    """Bytes that each network's process has for itself, ascending."""
    rollups = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in descendants(triton.pid) if pid != triton.pid]
    lines = [line.split() for rollup in rollups for line in rollup.splitlines() if line.startswith("Anonymous:")]
    return sorted(int(line[1]) << 10 for line in lines)


def test_a_network_takes_memory_when_it_is_asked(triton: EmbeddedTriton) -> None:
    """First of this module: nobody has asked this Triton yet."""
    assert len(CARDS) == len(before := memory_of_networks(triton))
    assert max(before) < IDLE_BYTES
    served(triton, "csrnet_b", odd_photo(CARDS["csrnet_b"].geometry), [])
    *others, asked = memory_of_networks(triton)
    assert max(others) < IDLE_BYTES < asked


@pytest.mark.parametrize("card", CARDS.values(), ids=CARDS.keys())
def test_served_network_agrees_with_onnxruntime(
    triton: EmbeddedTriton, precision: Precision, embedded_repository: Path, card: ModelCard
) -> None:
    exact = replace(card.tolerance, relative=1e-5, count_people=1e-5 if card.routes else None, outlier_share=0.0)
    wanted = replace(card, tolerance={"fp32": exact, "bf16": card.bf16_tolerance}[precision])
    names = [tensor.name for tensor in card.outputs]
    several = check_images(read_photo(PHOTO), card.geometry)[-4:][0]
    images = [several, several[:1] if card.geometry.fixed_side_px else odd_photo(card.geometry)]
    found = compare_outputs(
        wanted, bare(embedded_repository, card), lambda batch: served(triton, card.name, batch, names), images
    )
    if precision == "bf16" and not card.bf16_tolerance.outlier_share:  # classes may all be the same
        assert max(each.difference for each in found) > 1e-5, "this is the arithmetic of FP32"


@pytest.mark.parametrize("ensemble", ENSEMBLES.values(), ids=ENSEMBLES.keys())
def test_ensemble_agrees_with_its_networks(triton: EmbeddedTriton, ensemble: EnsembleCard) -> None:
    images = odd_photo(ensemble.members[0].geometry)
    expected = {
        ensemble.output_name(member, tensor): values
        for member in ensemble.members
        for tensor in member.outputs
        for values in served(triton, member.name, images, [tensor.name]).values()
    }
    found = served(triton, ensemble.name, images, list(expected))
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-6, err_msg=name)

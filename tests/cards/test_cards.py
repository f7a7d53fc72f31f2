"""Contracts of every model card."""

import re
from dataclasses import replace

import onnxruntime
import pytest

from crowdserve.cards import (
    CARDS,
    COUNTERS,
    ENSEMBLES,
    ROUTES,
    VARIANTS,
    EnsembleCard,
    Geometry,
    ModelCard,
    Normalisation,
    TensorSpec,
    cards_of,
    find_card,
)
from crowdserve.errors import CardError
from tests.support.paths import REPOSITORY

every_card = pytest.mark.parametrize("card", CARDS.values(), ids=CARDS.keys())
every_known_card = pytest.mark.parametrize("card", [*CARDS.values(), *VARIANTS.values()], ids=lambda card: card.name)
every_counter = pytest.mark.parametrize("card", [c for c in CARDS.values() if c.routes], ids=lambda card: card.name)
every_ensemble = pytest.mark.parametrize("ensemble", ENSEMBLES.values(), ids=ENSEMBLES.keys())
ONNX_TYPES = {"UINT8": "tensor(uint8)", "FP32": "tensor(float)"}


@every_known_card
def test_card_is_found_by_its_name(card: ModelCard) -> None:
    assert find_card(card.name) is card
    assert re.fullmatch(r"[a-z][a-z0-9_]*", card.name)


def test_unknown_card_lists_known_cards() -> None:
    with pytest.raises(CardError, match=r"no model card 'resnet'; there are .*vgg16"):
        find_card("resnet")


@every_known_card
def test_input_matches_geometry(card: ModelCard) -> None:
    sides = set(card.input.axes[:2])
    fixed = card.geometry.fixed_side_px
    assert sides == ({fixed} if fixed else {"height", "width"})
    assert card.geometry.min_side_px > 0
    assert card.batching.max_batch_size >= 1
    assert card.batching.max_queue_delay_microseconds >= 0


@every_counter
def test_density_axes_name_the_output_stride(card: ModelCard) -> None:
    stride, multiple = card.geometry.output_stride, card.geometry.internal_pad_multiple
    assert card.density_output is not None
    assert stride is not None
    cells = [
        f"{side}/{stride}" if multiple is None else f"{multiple // stride} ceil({side}/{multiple})"
        for side in ("height", "width")
    ]
    assert card.output(card.density_output).axes == tuple(cells)
    assert card.tolerance.count_people is not None
    assert [t.axes for t in card.outputs if t.name != card.density_output] == [(1,)]


@every_card
def test_exported_graph_has_the_tensors_of_its_card(card: ModelCard) -> None:
    paths = sorted((REPOSITORY / card.name).glob("*/model.onnx"))
    assert paths, f"{REPOSITORY} has no model.onnx of {card.name}"
    for path in paths:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        for found, expected in zip(
            (*session.get_inputs(), *session.get_outputs()), (card.input, *card.outputs), strict=True
        ):
            assert (found.name, found.type) == (expected.name, ONNX_TYPES[expected.dtype])
            assert not isinstance(found.shape[0], int), "the batch axis must be dynamic"
            assert [axis if isinstance(axis, int) else -1 for axis in found.shape[1:]] == expected.dims


@every_ensemble
def test_ensemble_runs_every_network_of_its_route(ensemble: EnsembleCard) -> None:
    assert [m.name for m in ensemble.members] == [c.name for c in CARDS.values() if ensemble.route in c.routes]
    assert set(COUNTERS) >= {member.family for member in ensemble.members}
    for member in ensemble.members:
        assert ensemble.member(member.family) is member
        assert member.input == ensemble.input
        assert member.batching.max_batch_size >= ensemble.max_batch_size
    with pytest.raises(CardError, match="has no 'vgg16'"):
        ensemble.member("vgg16")


@every_ensemble
def test_ensemble_outputs_are_unique(ensemble: EnsembleCard) -> None:
    names = [ensemble.output_name(member, tensor) for member in ensemble.members for tensor in member.outputs]
    assert len(set(names)) == len(names)


def test_every_route_has_an_ensemble_with_every_counter() -> None:
    assert tuple(ENSEMBLES) == ROUTES
    for ensemble in ENSEMBLES.values():
        assert {member.family for member in ensemble.members} == set(COUNTERS)


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_variant_replaces_its_family_in_its_route(variant: ModelCard) -> None:
    assert variant.name not in CARDS
    assert variant in cards_of(variant.family)
    ensemble = ENSEMBLES[variant.routes[0]]
    served = ensemble.member(variant.family)
    others = tuple(member for member in ensemble.members if member is not served)
    swapped = EnsembleCard(ensemble.name, ensemble.route, (*others, variant))
    names = {swapped.output_name(variant, tensor) for tensor in variant.outputs}
    assert names == {ensemble.output_name(served, tensor) for tensor in served.outputs}
    with pytest.raises(CardError, match="one member per family"):
        EnsembleCard(ensemble.name, ensemble.route, (*ensemble.members, variant))


def test_ensemble_needs_one_member_per_family() -> None:
    (member, *_) = ENSEMBLES["dense"].members
    with pytest.raises(CardError, match="one member per family"):
        EnsembleCard("twice", "dense", (member, member))
    with pytest.raises(CardError, match="one member per family"):
        EnsembleCard("empty", "dense", ())


@every_card
def test_contradictions_are_refused(card: ModelCard) -> None:
    with pytest.raises(CardError, match="must be UINT8"):
        replace(card, input=TensorSpec("image", "FP32", (224, 224, 3), "RGB"))
    with pytest.raises(CardError, match="repeat"):
        replace(card, outputs=card.outputs * 2)
    with pytest.raises(CardError, match="exactly when"):
        replace(card, routes=() if card.routes else ("dense",))
    with pytest.raises(CardError, match="has no output"):
        card.output("logits")
    if card.density_output:
        with pytest.raises(CardError, match="is not one of"):
            replace(card, density_output="nothing")
        with pytest.raises(CardError, match="needs an output_stride"):
            replace(card, geometry=replace(card.geometry, output_stride=None))


@pytest.mark.parametrize(
    ("sides", "message"),
    [
        ((8, 8, 128, 64), "is over max_side_px"),
        ((8, 8, 60, 64), "min_side_px 60 is not a multiple"),
        ((8, 8, 64, 100), "max_side_px 100 is not a multiple"),
        ((8, 3, 64, 128), "map_multiple 8 is not a multiple of stride 3"),
        ((8, 16, 64, 128), "map_multiple 8 is not a multiple of stride 16"),
        ((8, 16, 64, 128, 60), "internal_pad_multiple 60 is not a multiple of pad_multiple 8"),
    ],
)
def test_impossible_geometry_is_refused(sides: tuple[int, ...], message: str) -> None:
    with pytest.raises(CardError, match=message):
        Geometry(*sides)


@pytest.mark.parametrize(("divisor", "std"), [(0.0, (1.0, 1.0, 1.0)), (1.0, (1.0, 0.0, 1.0))])
def test_impossible_normalisation_is_refused(divisor: float, std: tuple[float, float, float]) -> None:
    with pytest.raises(CardError, match="must be positive"):
        Normalisation("RGB", divisor, (0.0, 0.0, 0.0), std)

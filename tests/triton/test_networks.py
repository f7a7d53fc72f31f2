"""The project's networks: the real Triton agrees with onnxruntime on the same files."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from tritonclient.http import InferenceServerClient, InferInput

from crowdserve.cards import CARDS, ENSEMBLES, EnsembleCard, ModelCard
from crowdserve.local.triton import EmbeddedTriton
from crowdserve.triton.repository import model_versions

pytestmark = pytest.mark.e2e


def picture_for(card: ModelCard, pictures: int) -> np.ndarray:
    side = card.geometry.fixed_side_px
    height, width = (side, side) if side else (card.geometry.min_side_px, card.geometry.min_side_px * 2)
    return np.random.default_rng(5).integers(0, 256, (pictures, height, width, 3), dtype=np.uint8)


def bare(repository: Path, card: ModelCard, pictures: np.ndarray) -> dict[str, np.ndarray]:
    path = repository / card.name / str(model_versions(repository, card.name)[-1]) / "model.onnx"
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [tensor.name for tensor in card.outputs]
    return dict(zip(names, session.run(names, {card.input.name: pictures}), strict=True))


def served(triton: EmbeddedTriton, model: str, pictures: np.ndarray, names: list[str]) -> dict[str, np.ndarray]:
    tensor = InferInput("image", pictures.shape, "UINT8")
    tensor.set_data_from_numpy(pictures)
    with InferenceServerClient(triton.http_url, network_timeout=300) as client:
        answer = client.infer(model, [tensor])
    return {name: answer.as_numpy(name) for name in names}


@pytest.mark.parametrize("card", CARDS.values(), ids=CARDS.keys())
def test_served_network_agrees_with_onnxruntime(
    embedded_triton: EmbeddedTriton, embedded_repository: Path, card: ModelCard
) -> None:
    pictures = picture_for(card, pictures=2)
    expected = bare(embedded_repository, card, pictures)
    found = served(embedded_triton, card.name, pictures, list(expected))
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=1e-5 * np.abs(values).max(), err_msg=name)


@pytest.mark.parametrize("ensemble", ENSEMBLES.values(), ids=ENSEMBLES.keys())
def test_ensemble_agrees_with_its_networks(
    embedded_triton: EmbeddedTriton, embedded_repository: Path, ensemble: EnsembleCard
) -> None:
    pictures = picture_for(ensemble.members[0], pictures=1)
    expected = {
        ensemble.output_name(member, tensor): values
        for member in ensemble.members
        for tensor, values in zip(member.outputs, bare(embedded_repository, member, pictures).values(), strict=True)
    }
    found = served(embedded_triton, ensemble.name, pictures, list(expected))
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=1e-5 * np.abs(values).max(), err_msg=name)

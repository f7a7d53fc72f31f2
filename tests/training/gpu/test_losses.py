"""Losses in PyTorch against plain arithmetic over single heads and blocks."""

import numpy as np
import pytest
import torch

from training.gpu.losses import BACKGROUND, LOSSES, bayesian_loss, block_loss

SHAPE = (16, 20)


def maps(seed: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).uniform(size=(2, *SHAPE)).astype(np.float32))


def test_no_error_gives_no_block_loss() -> None:
    assert float(block_loss(maps(1), maps(1), (2,))) == 0


def test_block_loss_is_the_sum_of_errors_of_counts() -> None:
    found, true = maps(1), maps(2)
    error = (found - true).numpy().astype(float)
    expected = np.abs(error.sum(axis=(1, 2))).mean()
    for side, power, weight in ((2, 1, 1 / 2), (8, 1, 1 / 2), (4, 2, 1.0)):
        rows, columns = SHAPE[0] // side, SHAPE[1] // side
        cut = error[:, : rows * side, : columns * side].reshape(2, rows, side, columns, side)
        expected += weight * (np.abs(cut.sum(axis=(2, 4))) ** power).sum(axis=(1, 2)).mean()
    loss = block_loss(found, true, (4,), blocks=(2, 8, 32))
    assert float(loss) == pytest.approx(expected, rel=1e-5), "blocks larger than the window are left out"


def test_bayesian_loss_is_the_sum_over_heads_and_the_ground() -> None:
    density = maps(3)
    places = [[(2, 3), (2, 4), (2, 4), (9, 12)], [(15, 19)]]
    heads = torch.zeros(2, *SHAPE)
    cells = np.stack(np.mgrid[: SHAPE[0], : SHAPE[1]], axis=-1)
    expected = []
    for number, of_window in enumerate(places):
        for place in of_window:
            heads[(number, *place)] += 1
        distances = np.stack([np.linalg.norm(cells - np.array(place), axis=-1) for place in of_window])
        ground = np.exp(-(np.maximum(BACKGROUND * min(SHAPE) - distances.min(axis=0), 0) ** 2) / 2)
        likelihoods = np.concatenate([np.exp(-(distances**2) / 2), ground[np.newaxis]])
        counts = (likelihoods / likelihoods.sum(axis=0) * density[number].numpy()).sum(axis=(1, 2))
        expected.append(np.abs(1 - counts[:-1]).sum() + counts[-1])
    assert float(bayesian_loss(density, heads)) == pytest.approx(np.mean(expected), rel=1e-4)


def test_window_without_heads_costs_its_count() -> None:
    nobody = torch.zeros(2, *SHAPE)
    for loss in LOSSES.values():
        assert float(loss(nobody, nobody, nobody, ())) == pytest.approx(0, abs=1e-9)
        assert float(loss(maps(1), nobody, nobody, ())) > 1
    assert float(bayesian_loss(maps(1), nobody)) == pytest.approx(float(maps(1).sum()) / 2, rel=1e-4)


def test_named_losses_add_up() -> None:
    found, true, heads = maps(1), maps(2), (maps(3) > 0.9).float()
    values = {name: float(loss(found, true, heads, (2,))) for name, loss in LOSSES.items()}
    assert values["blocks"] == pytest.approx(float(block_loss(found, true, (2,))))
    assert values["both"] == pytest.approx(values["blocks"] + values["bayesian"], rel=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_has_a_gradient_in_every_cell(name: str) -> None:
    """Of a window that is counted too high everywhere, so that no errors cancel out."""
    found = (maps(1) + 1).requires_grad_()
    LOSSES[name](found, maps(2), (maps(3) > 0.9).float(), ()).backward()
    assert found.grad is not None
    assert float(found.grad.abs().min()) > 0

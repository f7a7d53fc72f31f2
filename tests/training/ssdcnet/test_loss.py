"""SSDCNet's loss against plain arithmetic."""

import numpy as np
import pytest
import torch

from crowdserve.nets.ssdcnet import Division, SSDCNet
from training.ssdcnet.loss import division_loss


def made_division(net: SSDCNet, seed: int = 0) -> Division:
    draw = torch.Generator().manual_seed(seed)
    taps = [torch.rand(shape, generator=draw) for shape in ((1, 256, 16, 16), (1, 512, 8, 8), (1, 512, 4, 4))]
    with torch.no_grad():
        return net.divide(type(net.taps(torch.zeros(1, 3, 64, 64)))(*taps))


def test_loss_is_the_sum_of_its_terms() -> None:
    net = SSDCNet(7.0)
    found = made_division(net)
    density = torch.rand((1, 16, 16), generator=torch.Generator().manual_seed(1)) * 0.4
    loss = float(division_loss(net, found, density, count_weight=3.0))
    assert loss == pytest.approx(plain_loss(net, found, density[0].numpy().astype(np.float64), 3.0), rel=1e-4)


def test_squared_errors_are_of_people_per_64_px_block() -> None:
    net = SSDCNet(7.0)
    found = made_division(net)
    density = torch.rand((1, 16, 16), generator=torch.Generator().manual_seed(1)) * 0.4
    error = found.div2[0, 0].numpy() - density[0].numpy().reshape(8, 2, 8, 2).sum(axis=(1, 3))
    blocks = error.reshape(2, 4, 2, 4).sum(axis=(1, 3))
    with_squares, without = (
        float(division_loss(net, found, density, count_weight=3.0, squared_blocks=sides)) for sides in ((4, 8), ())
    )
    assert with_squares - without == pytest.approx((blocks**2).mean() + error.sum() ** 2 / 4, rel=1e-3)


def plain_loss(net: SSDCNet, found: Division, density: np.ndarray, count_weight: float) -> float:
    """The same by loops over cells."""
    counts = {side: density.reshape(16 // side, side, 16 // side, side).sum(axis=(1, 3)) for side in (8, 4, 2)}
    table, edges = net.table.numpy(), net.edges.numpy()
    entropies, expected = 0.0, 0.0
    for logits, side in ((found.logits0, 8), (found.logits1, 4), (found.logits2, 2)):
        probabilities = logits[0].softmax(dim=0).numpy()
        cells = [(y, x) for y in range(16 // side) for x in range(16 // side)]
        classes = {cell: int((edges < counts[side][cell]).sum()) for cell in cells}
        entropies += np.mean([-np.log(probabilities[classes[y, x], y, x]) for y, x in cells])
        errors = [abs(probabilities[:, y, x] @ table - min(counts[side][y, x], table[-1])) for y, x in cells]
        expected += np.mean(errors) * 2 / side
    shares = 0.0
    for share, before, after, factor in ((found.den0, 8, 4, 0.5), (found.den1, 4, 2, 1.0)):
        shared = np.kron(counts[before], np.ones((2, 2))) * share[0, 0].numpy()
        shares += factor * np.abs(shared - counts[after]).mean()
    undivided = 0.0
    for weights, before in ((found.w1, 8), (found.w2, 4)):
        must = np.kron(counts[before] > table[-1], np.ones((2, 2)))
        undivided -= (must * np.log(weights[0, 0].numpy())).mean()
    error = found.div2[0, 0].numpy() - counts[2]
    blocks = error.reshape(2, 4, 2, 4).mean(axis=(1, 3))
    final = abs(error.mean()) + np.abs(error).mean() + np.abs(blocks).mean()
    return entropies + undivided + count_weight * (expected + shares + final)


def test_perfect_division_costs_only_its_entropy() -> None:
    net = SSDCNet(7.0)
    found = made_division(net)
    density = torch.zeros((1, 16, 16))
    certain = torch.zeros_like(found.logits0)
    certain[:, 0] = 50.0
    perfect = found._replace(
        logits0=certain,
        logits1=torch.nn.functional.interpolate(certain, scale_factor=2),
        logits2=torch.nn.functional.interpolate(certain, scale_factor=4),
        div2=torch.zeros_like(found.div2),
    )
    assert float(division_loss(net, perfect, density, count_weight=5.0)) == pytest.approx(0.0, abs=1e-6)

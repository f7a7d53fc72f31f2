"""A configuration becomes a row whatever happens to it, and the important ones come first."""

import pytest
import torch
from torch import Tensor, nn

from benchmarks.gpu import plan
from benchmarks.gpu.ceilings import Ceilings
from benchmarks.gpu.networks import Network
from benchmarks.gpu.precision import FP16, FP32, PRECISIONS
from benchmarks.gpu.report import speed_table
from benchmarks.gpu.speed import Configuration, run
from crowdserve.cards import IMAGENET_UNIT

MULTIPLE = 8
LIMITS = Ceilings({"fp16": 1e12, "bf16": 1e12, "tf32": 1e12, "fp32": 1e12}, 1e12)


class Failing(nn.Module):
    """Fails; counting its layers with the smallest image works."""

    def __init__(self, error: Exception | None) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 1, 1)
        self.error = error

    def forward(self, images: Tensor) -> Tensor:
        if self.error and images.shape[-1] > MULTIPLE:
            raise self.error
        return self.layer(images)


def network(error: Exception | None = None, name: str = "small", size: tuple[int, int] | None = None) -> Network:
    return Network(name, Failing(error), "random", IMAGENET_UNIT, MULTIPLE, size)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 70 GiB"), "out of memory"),
        (RuntimeError("no kernel\nfor this"), "failed: no kernel\nfor this"),
    ],
)
def test_failure_becomes_a_row(error: Exception, status: str) -> None:
    row = run(Configuration(network(error), 16, 8, 4, FP32), LIMITS, "cpu", 60)
    assert row == {
        "network": "small",
        "width": 16,
        "height": 8,
        "batch": 4,
        "precision": "fp32",
        "mode": "eager",
        "status": status,
    }
    _title, line = speed_table([row]).splitlines()
    assert line.endswith(" ".join(status.split()))


def test_later_configurations_run_after_a_failure() -> None:
    rows = [
        run(Configuration(net, 16, 8, 1, FP32), LIMITS, "cpu", 60)
        for net in (network(RuntimeError("broken")), network())
    ]
    assert [row["status"] for row in rows] == ["failed: broken", "measured"]


def test_too_little_time_becomes_a_row() -> None:
    assert run(Configuration(network(), 16, 8, 1, FP32), LIMITS, "cpu", 0)["status"] == "no time left"


def test_table_counts_rows_without_time() -> None:
    rows = [run(Configuration(network(), 16, 8, batch, FP32), LIMITS, "cpu", 0) for batch in (1, 4, 16)]
    rows.append(run(Configuration(network(), 16, 8, 1, FP32), LIMITS, "cpu", 60))
    _title, measured, left_out = speed_table(rows).splitlines()
    assert measured.startswith("small     16x8      1 fp32 eager")
    assert left_out == "3 more left out, no time left; give more --seconds"


def test_everything_is_planned_once_and_the_important_first() -> None:
    nets = [network(name="counting"), network(name="scene", size=(224, 224))]
    ranks = plan.ranked(nets, plan.SIZES, plan.BATCHES, PRECISIONS, ["graph"])
    everything = [configuration for rank in ranks for configuration in rank]
    shapes = len(plan.SIZES) + 1
    assert len(everything) == shapes * (len(PRECISIONS) * len(plan.BATCHES) + 1)
    assert len({str(configuration.labels()) for configuration in everything}) == len(everything)
    assert {(each.precision.name, each.batch, each.mode) for each in ranks[plan.FIRST]} == {
        ("fp16", 1, "eager"),
        ("bf16", 1, "eager"),
    }
    assert [(each.network.name, each.width) for each in ranks[plan.FIRST][:3]] == [
        ("counting", 1024),
        ("scene", 224),
        ("counting", 640),
    ]
    assert {(each.width, each.precision) for each in ranks[plan.TYPICAL]} == {(1024, FP16), (224, FP16)}
    assert {(each.batch, each.mode) for each in ranks[plan.TYPICAL]} == {(4, "eager"), (16, "eager"), (1, "graph")}
    assert {each.precision.name for each in ranks[plan.SINGLE]} == {"tf32", "fp32"}

"""The loop with a network of one small convolution, stopped where a run can be stopped."""

import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from crowdserve.errors import WeightsError
from crowdserve.nets.tensor_file import read_tensor_record, read_tensors
from training.gpu.clock import Clock
from training.gpu.loop import Run, run_for_its_time
from training.gpu.output import PART_BYTES, OutputFolder
from training.gpu.recipe import Recipe
from training.gpu.stream import Batch
from training.gpu.trainer import Trainer

CPU = torch.device("cpu")
RECIPE = Recipe(minutes=1, frozen=0, warmup_steps=1, averaging=0.5, rate=1e-2)
STEP_SECONDS = 10.0


class Stopped(Exception):
    """Stands for a signal or a power failure."""


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.conv = nn.Conv2d(3, 1, 1)

    def loss(self, batch: Batch, squared_blocks: Sequence[int]) -> Tensor:
        return (self.conv(batch.images.permute(0, 3, 1, 2).float() / 255)[:, 0] - batch.density).abs().mean()


class Session:
    """A run in a folder whose clock goes on by ten seconds with each batch, and whose judge says what it is told."""

    def __init__(self, folder: Path, maes: Sequence[float], minutes: float = 1, stop_after: int = 99) -> None:
        self.now, self.maes, self.stop_after = 0.0, iter(maes), stop_after
        output = OutputFolder(folder, "csrnet_a", folder / "parts")
        state = output.state(CPU)
        clock = Clock(minutes, state["seconds"] if state else 0.0, lambda: self.now)
        self.run = Run(Trainer(Net(), RECIPE, CPU), clock, output, RECIPE.tolerance, {"card": "csrnet_b"})  # type: ignore[arg-type]
        if state:
            self.run.restore(state)
        self.begun = state is not None

    def batches(self) -> Iterator[Batch]:
        for number in itertools.count():
            if number == self.stop_after:
                raise Stopped
            self.now += STEP_SECONDS
            value = torch.full((1, 4, 4), 5.0)
            yield Batch(torch.full((1, 4, 4, 3), 200, dtype=torch.uint8), value, value)

    def validate(self) -> None:
        self.run.validate(
            lambda: {"mae": next(self.maes), "rmse": 1.0, "bias": 0.0},
            lambda kept, last: {"card": "csrnet_a", "step": kept["step"], "last": last, "recipe": {}, "data": []},
        )

    def train(self) -> None:
        if not self.begun:
            self.validate()
        run_for_its_time(self.run, self.batches(), validate_seconds=15, stop_clock=False, validate=self.validate)


def log(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def meta(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "meta.json").read_text())
    return found


def test_run_ends_with_its_time_and_keeps_the_last_average_if_it_is_good(tmp_path: Path) -> None:
    session = Session(tmp_path, [9, 5.0, 4.0, 4.1])
    session.train()
    assert [(record["step"], record["mae"]) for record in log(tmp_path)] == [(0, 9), (2, 5), (4, 4), (6, 4.1)]
    assert [record["seconds"] for record in log(tmp_path)] == [0, 20, 40, 60]
    assert log(tmp_path)[1]["steps_per_second"] == 0.1
    assert log(tmp_path)[0]["loss"] is None
    assert log(tmp_path)[3]["loss"] < log(tmp_path)[1]["loss"]
    assert (meta(tmp_path)["step"], meta(tmp_path)["last"]) == (6, True)
    average = read_tensors(tmp_path / "csrnet_a.npz")["conv.bias"]
    weight = session.run.trainer.net.conv.bias
    assert average == pytest.approx(session.run.trainer.averages()[1].numpy())
    assert average.item() < weight.item(), "an average lags behind"
    assert read_tensor_record(tmp_path / "csrnet_a.npz") == meta(tmp_path)


def test_best_average_is_kept_if_the_last_is_clearly_worse(tmp_path: Path) -> None:
    best = Session(tmp_path / "best", [1, 4.0], minutes=1 / 3)
    best.train()
    session = Session(tmp_path, [1, 4.0, 5.0, 4.2], minutes=1)
    session.run.trainer.net.load_state_dict(Net().state_dict())
    session.train()
    assert (meta(tmp_path)["step"], meta(tmp_path)["last"]) == (2, False), "the start is no result of the run"
    kept = read_tensors(tmp_path / "csrnet_a.npz")["conv.bias"]
    assert kept != pytest.approx(session.run.trainer.averages()[1].numpy())


def test_stopped_run_goes_on_from_its_last_validation(tmp_path: Path) -> None:
    whole, folder = tmp_path / "whole", tmp_path / "stopped"
    Session(whole, [9, 5, 4, 3]).train()
    with pytest.raises(Stopped):
        Session(folder, [9, 5, 4, 3], stop_after=3).train()
    assert [record["step"] for record in log(folder)] == [0, 2]
    again = Session(folder, [4, 3])
    assert (again.run.trainer.step, again.run.clock.seconds) == (2, 20)
    assert again.run.earlier == {"card": "csrnet_b"}
    again.train()
    kept = ("step", "mae", "loss", "seconds")
    assert [[record[name] for name in kept] for record in log(folder)] == [
        [record[name] for name in kept] for record in log(whole)
    ]
    for name, tensor in read_tensors(whole / "csrnet_a.npz").items():
        assert read_tensors(folder / "csrnet_a.npz")[name] == pytest.approx(tensor), name


def test_run_that_is_stopped_while_it_writes_goes_on_from_the_validation_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes = itertools.count(1)
    save = torch.save

    def stop_at_the_second(state: Any, path: Path) -> None:
        if next(writes) == 2:
            path.write_bytes(b"half")
            raise Stopped
        save(state, path)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", stop_at_the_second)
        with pytest.raises(Stopped):
            Session(tmp_path, [9, 5, 4]).train()
    assert [record["step"] for record in log(tmp_path)] == [0, 2, 4]
    session = Session(tmp_path, [7, 7])
    assert session.run.trainer.step == 2
    session.train()
    assert [(record["step"], record["mae"]) for record in log(tmp_path)] == [(0, 9), (2, 5), (4, 7), (6, 7)]
    assert not list(tmp_path.glob(".*"))


def test_run_that_diverges_ends_with_the_files_of_the_validation_before(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"training diverged by step 4: .* a lower --rate"):
        Session(tmp_path, [9, 5, float("nan")]).train()
    assert [record["step"] for record in log(tmp_path)] == [0, 2]
    assert meta(tmp_path)["step"] == 2


def test_batch_without_a_finite_loss_is_left_out() -> None:
    trainer = Trainer(Net(), RECIPE, CPU)  # type: ignore[arg-type]
    before = [tensor.clone() for tensor in trainer.averages()]
    images, wrong = torch.zeros(1, 4, 4, 3, dtype=torch.uint8), torch.full((1, 4, 4), torch.nan)
    trainer.train(Batch(images, wrong, wrong), 0.1)
    assert (trainer.step, trainer.skipped, trainer.mean_loss()) == (1, 1, None)
    assert all(torch.equal(a, b) for a, b in zip(before, trainer.averages(), strict=True))


def test_parts_join_to_the_weights(tmp_path: Path) -> None:
    weights = bytes(range(256)) * (PART_BYTES // 200)
    output = OutputFolder(tmp_path / "run", "csrnet_a", tmp_path / "parts")
    output.write(weights, [{"step": 1}], {"card": "csrnet_a"}, {})
    parts = sorted((tmp_path / "parts").glob("csrnet_a.npz.part*"))
    assert [part.stat().st_size for part in parts] == [PART_BYTES, len(weights) - PART_BYTES]
    assert b"".join(part.read_bytes() for part in parts) == weights == (tmp_path / "run" / "csrnet_a.npz").read_bytes()
    assert (tmp_path / "parts" / "meta.json").exists()
    assert not (tmp_path / "parts" / "state.pt").exists()


def test_folder_of_another_run_is_refused(tmp_path: Path) -> None:
    output = OutputFolder(tmp_path, "csrnet_a")
    identity = {"rate": 1e-5, "minutes": 3.0, "squared_blocks": (2,), "card": "csrnet_a", "data": ["a"]}
    recorded = {"card": "csrnet_a", "data": ["a"], "recipe": {"rate": 1e-5, "minutes": 2.0, "squared_blocks": [2]}}
    output.write(b"", [], recorded, {})
    output.check(identity)
    for name, other in (("rate", 1e-4), ("card", "csrnet_b"), ("data", ["b"]), ("squared_blocks", ())):
        with pytest.raises(WeightsError, match=rf"was begun with another recipe \({name} .* → .*; repeat it, or name"):
            output.check({**identity, name: other})
    (tmp_path / "state.pt").write_bytes(b"no state")
    with pytest.raises(WeightsError, match=r"state\.pt is damaged, so the run cannot go on"):
        output.state(CPU)
    (tmp_path / "meta.json").write_text("{}")
    with pytest.raises(WeightsError, match="is no record of a run"):
        output.check(identity)

"""The training loop with a network of one number, interrupted wherever a run can be interrupted."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crowdserve.errors import WeightsError
from training.engine import run
from training.engine.loop import run_steps
from training.engine.run import RunFolder, read_earlier


@pytest.fixture(autouse=True)
def without_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """No curves are drawn, which takes longer than all else; the tests of the networks' training look at theirs."""
    monkeypatch.setattr(run, "draw_curves", lambda records, path: None)


MAES = {2: 5.0, 4: 3.0, 6: 3.0, 8: 4.0}
"""Validation error after each validated step; the later of two equal ones is kept."""


class Stopped(Exception):
    """Stands for a signal or a power failure."""


class Batches:
    """The material: the batch of a step is the step."""

    def batch(self, step: int) -> int:
        return step


class Network:
    """Learns the number of batches that it saw in order; its average is twice that."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "state.json"
        self.weight, self._average = json.loads(self._path.read_text()) if self._path.exists() else (0, 0)

    @property
    def done(self) -> int:
        return self.weight

    def train(self, batch: int) -> float:
        assert batch == self.weight, "a step was left out or taken twice"
        self.weight = batch + 1
        self._average = 2 * self.weight
        return 1 / self.weight

    def swap_averages(self) -> None:
        self.weight, self._average = self._average, self.weight

    def save(self) -> None:
        self._path.write_text(json.dumps([self.weight, self._average]))


def train(folder: Path, steps: int = 8) -> None:
    network = Network(folder)
    run_steps(
        RunFolder(folder),
        network,
        Batches(),
        steps=steps,
        every=2,
        validate=lambda: {"mae": MAES[network.weight // 2], "rmse": 6.0, "bias": 0.0},
        save_weights=lambda: (folder / "weights").write_text(str(network.weight)),
        describe=lambda best: {"best": best["step"]},
    )


def assert_whole(folder: Path) -> None:
    assert [record["step"] for record in RunFolder(folder).records()] == [2, 4, 6, 8]
    assert (folder / "weights").read_text() == "12", "the averages after step 6"
    assert json.loads((folder / "meta.json").read_text())["best"] == 6
    assert Network(folder).done == 8


def test_best_average_weights_are_saved_and_recorded(tmp_path: Path) -> None:
    train(tmp_path)
    assert_whole(tmp_path)
    losses = [record["loss"] for record in RunFolder(tmp_path).records()]
    assert losses == pytest.approx([np.mean([1 / n, 1 / (n + 1)]) for n in (1, 3, 5, 7)])


@pytest.mark.parametrize("place", [(RunFolder, "record"), (RunFolder, "write_meta"), (Network, "save")])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("time", [1, 3, 4])
def test_stopped_run_gives_the_result_of_an_uninterrupted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: tuple[Any, str], after: bool, time: int
) -> None:
    owner, name = place
    work, calls = getattr(owner, name), []

    def stop(*args: Any, **kwargs: Any) -> Any:
        calls.append(name)
        if len(calls) == time:
            if after:
                work(*args, **kwargs)
            raise Stopped
        return work(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, stop)
        with pytest.raises(Stopped):
            train(tmp_path)
    train(tmp_path)
    assert_whole(tmp_path)


def test_finished_run_is_left_unchanged(tmp_path: Path) -> None:
    train(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    train(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_start_from_an_unfinished_run_is_refused(tmp_path: Path) -> None:
    assert read_earlier(None) is None
    with pytest.raises(WeightsError, match="is no finished run"):
        read_earlier(tmp_path)
    train(tmp_path)
    assert read_earlier(tmp_path)["best"] == 6

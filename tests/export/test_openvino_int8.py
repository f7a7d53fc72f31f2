"""Networks in 8 bits: which photos calibrate them, and when they are refused. What is served: tests/triton."""

import json
from pathlib import Path

import numpy as np
import pytest

from crowdserve.cards import CARDS, ModelCard
from crowdserve.cards.records import INT8_FILE, INT8_RECORD
from crowdserve.datasets import Sample
from crowdserve.errors import ParityError, PlatformError, SetupError
from crowdserve.local import precision
from export.csrnet.openvino_int8 import Loss, calibration_photos, check_losses, export_int8
from tests.support.paths import REPOSITORY

CARD = CARDS["csrnet_b"]
QUANTISED = [card for card in CARDS.values() if card.quantisation]


def sample(count: int) -> Sample:
    return Sample(Path(f"{count}.jpg"), np.zeros((count, 2)), "made", "up")


def test_photos_from_the_fewest_to_the_most_people_calibrate() -> None:
    chosen = calibration_photos(map(sample, (5, 900, 30, 31, 2, 60, 400, 7, 8)), 4)
    assert [each.count for each in chosen] == [2, 8, 31, 900]
    assert [each.count for each in calibration_photos([sample(3)], 4)] == [3]


def test_losses_within_the_limits_pass() -> None:
    check_losses(CARD, {"all": Loss(40, 10.0, 10.09), "1-20": Loss(9, 10.0, 10.29), "21-50": Loss(9, 10.0, 2.0)})


@pytest.mark.parametrize(
    ("name", "loss", "message"),
    [
        ("all", Loss(40, 10.0, 10.11), r"csrnet_b in 8 bits counts worse, all photos: MAE 10.00 -> 10.11 \(\+1.10%"),
        ("201-500", Loss(7, 10.0, 10.31), r"201-500 people: MAE 10.00 -> 10.31 \(\+3.10%, \+3% is allowed"),
    ],
)
def test_a_network_that_counts_worse_is_refused(name: str, loss: Loss, message: str) -> None:
    with pytest.raises(ParityError, match=message):
        check_losses(CARD, {"1-20": Loss(9, 10.0, 10.0), name: loss})


def test_what_is_not_served_in_8_bits_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="its card has no quantisation"):
        export_int8(tmp_path, CARDS["ssdcnet_shb"], [tmp_path])
    with pytest.raises(SetupError, match=r"has no model.onnx; name the version folder"):
        export_int8(tmp_path, CARD, [tmp_path])


def test_a_machine_that_cannot_judge_is_told_so_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.onnx").write_bytes(b"")
    monkeypatch.setattr(precision, "CPU_INFO", tmp_path / "cpuinfo")
    with pytest.raises(PlatformError, match="precision int8 needs a processor with avx2"):
        export_int8(tmp_path, CARD, [tmp_path])


@pytest.mark.parametrize("card", QUANTISED, ids=lambda card: card.name)
def test_the_committed_record_keeps_to_the_card(card: ModelCard) -> None:
    folder = REPOSITORY / card.name / "1"
    record = json.loads((folder / INT8_RECORD).read_text())
    assert (folder / INT8_FILE).is_file()
    assert record["kept_layers"] == list(card.quantisation.kept_layers)
    assert len(set(record["calibration_photos_sha256"])) == 24
    losses = {name: Loss(row["photos"], row["mae"], row["mae_int8"]) for name, row in record["validation"].items()}
    check_losses(card, losses)

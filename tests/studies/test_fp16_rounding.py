"""Networks in 32 bits that round to a served one, drawn and compared with it."""

import re
from pathlib import Path

import numpy as np
import pytest

from studies.fp16_rounding import drawn, main
from tests.support.drawn_networks import check_drawn_networks


def test_drawn_numbers_round_to_the_stored_ones_and_fill_what_does() -> None:
    draw = np.random.default_rng(1)
    largest, smallest = float(np.finfo(np.float16).max), float(np.finfo(np.float16).smallest_subnormal)
    odd = np.array([0, -0.0, 1, -1, 2**-14, smallest, -smallest, largest, -largest], np.float32)
    stored = np.concatenate([odd, draw.normal(0, 0.02, 20_000).astype(np.float16).astype(np.float32)])
    found = drawn(stored, draw)
    np.testing.assert_array_equal(found.astype(np.float16), stored.astype(np.float16))
    found, stored = found[len(odd) :], stored[len(odd) :]
    offsets = (found - stored) / np.spacing(np.abs(stored).astype(np.float16)).astype(np.float32)
    assert offsets.min() < -0.49
    assert offsets.max() > 0.49
    assert abs(offsets.mean()) < 0.01
    assert np.mean(found == stored) < 0.02


def test_drawn_networks_count_nearly_as_the_served_one(project_repository: Path) -> None:
    check_drawn_networks(project_repository, "csrnet_b")


def test_the_command_prints_one_line_per_network(
    dataset: Path, project_repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([str(dataset), "--cards", "csrnet_b", "--repository", str(project_repository)])
    assert re.fullmatch(
        r"csrnet_b: counts of \d+ photos within 0\.\d{3}%, on average 0\.\d{3}%\n", capsys.readouterr().out
    )


def test_a_repository_without_the_network_is_named(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"error: .* holds no version of csrnet_b; give another --repository"):
        main([str(dataset), "--cards", "csrnet_b", "--repository", str(tmp_path)])

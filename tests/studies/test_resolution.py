"""Counts at several sizes, by networks that count areas: twice the sides, four times the people."""

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from crowdserve.cards import find_card
from crowdserve.datasets import load_dataset
from studies.resolution import counts_at_scales, main, table
from tools.stub_models import gain

SCALES = [0.5, 1.0, 2.0]


@pytest.fixture
def photos(tmp_path):
    """Eleven white photos of 128x96 px, each with ten heads."""
    for n in range(11):
        Image.new("RGB", (128, 96), "white").save(tmp_path / f"{n}.png")
        savemat(tmp_path / f"{n}_ann.mat", {"annPoints": np.full((10, 2), 20.0)})
    return tmp_path


@pytest.mark.parametrize("name", ["csrnet_a", "ssdcnet_sha"])
def test_counts_follow_the_area(photos, small_repository, name):
    card = find_card(name)
    model = small_repository / name / "1" / "model.onnx"
    counts = counts_at_scales(card, model, load_dataset(photos)[:2], SCALES)
    white = np.array([8 * 6, 16 * 12, 32 * 24])  # cells of 8x8 px; what 64x48 px are extended by is not counted
    np.testing.assert_allclose(counts, np.tile(white * gain(card), (2, 1)), rtol=1e-3)


def test_every_scale_and_their_mean_have_a_line(photos, small_repository, capsys):
    main([str(photos), "--cards", "csrnet_a", "--scales", "1", "2", "--repository", str(small_repository)])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("MAE")[0].split(maxsplit=1)[1].strip() for line in lines] == ["scale 1", "scale 2", "mean"]
    assert "MAE  182.0" in lines[0]  # 192 white cells, 10 heads


def test_errors_are_those_of_each_column():
    counts = np.array([[10.0, 20.0], [10.0, 30.0]])
    lines = table(find_card("csrnet_a"), counts, [10, 10], [0.5, 1.0]).splitlines()
    assert [float(line.split("MAE")[1].split()[0]) for line in lines] == [0.0, 15.0, 7.5]


def test_a_repository_without_the_network_is_named(photos, tmp_path):
    with pytest.raises(SystemExit, match="csrnet_a"):
        main([str(photos), "--cards", "csrnet_a", "--repository", str(tmp_path)])


@pytest.mark.parametrize("factor", ["0", "-1", "inf", "nan"])
def test_a_factor_that_makes_no_image_is_refused(factor, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main([str(tmp_path), "--cards", "csrnet_a", f"--scales={factor}"])
    assert f"{factor}: expected a factor over 0" in capsys.readouterr().err

"""Labelled pictures that are made here."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eleven pictures of 96x72 px in UCF_CC_50's layout: white dots on grey, one a head."""
    folder = tmp_path_factory.mktemp("ucf")
    draw = np.random.default_rng(0)
    for n in range(11):
        points = draw.uniform(8, [88, 64], (n + 1, 2))
        picture = np.full((72, 96, 3), 90, np.uint8)
        for x, y in points.astype(int):
            picture[y - 2 : y + 2, x - 2 : x + 2] = 250
        Image.fromarray(picture).save(folder / f"{n}.png")
        savemat(folder / f"{n}_ann.mat", {"annPoints": points})
    return folder

"""Photos saved in other colour spaces, counted by the running service with small networks: brightness is people."""

import io

import numpy as np
import pytest
from PIL import Image

from crowdserve.client.service import ServiceClient
from crowdserve.images import decode_image
from crowdserve.local.service import EmbeddedService
from studies.wide_gamut import OWN, SPACES, count_spaces, report, saved_in

GREEN = np.full((96, 96, 3), (80, 250, 90), np.uint8)


@pytest.mark.parametrize("space", SPACES)
def test_photo_is_the_same_with_its_profile_and_another_without(space: str) -> None:
    assert np.abs(decode_image(saved_in(GREEN, space, with_profile=True)).astype(int) - GREEN).max() <= 3
    without = saved_in(GREEN, space, with_profile=False)
    assert "icc_profile" not in Image.open(io.BytesIO(without)).info
    assert np.abs(decode_image(without).astype(int) - GREEN).max() > 10


@pytest.mark.e2e
def test_counts_are_compared_with_the_photos_own(small_service: EmbeddedService) -> None:
    with ServiceClient(small_service.http_url, use_proxy=False) as client:
        found = count_spaces(client, [GREEN])
    assert len(found) == 1 + 2 * len(SPACES)
    (own,) = found[OWN]
    for space in SPACES:
        assert found[f"{space}, converted"] == pytest.approx([own], rel=0.02)
        assert found[f"{space}, profile ignored"] != pytest.approx([own], rel=0.02)
    lines = report(found).splitlines()
    assert [line.split(",")[0] for line in lines] == ["Adobe RGB", "Adobe RGB", "Display P3", "Display P3"]
    assert all(" 1 photos " in line for line in lines)

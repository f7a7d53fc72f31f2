"""Looks of photos, counted by the running service with small networks: brightness is the number of people."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from crowdserve.client.service import PhotoCount, ServiceClient
from crowdserve.datasets import Sample
from crowdserve.local.service import EmbeddedService
from studies.looks import count_looks, fails, looks, report
from tests.support.photos import expected_count, gray_photo

SURE = PhotoCount(100.0, "sparse", 0.9, False, "sparse", {}, {}, 0.1, None)


def test_looks_are_what_they_are_called() -> None:
    image = np.random.default_rng(0).integers(0, 256, (96, 120, 3), dtype=np.uint8)
    found = {name: (picture, copies) for name, picture, copies in looks(image)}
    assert np.array_equal(found["as it is"][0], image)
    assert (found["grey"][0] == found["grey"][0][..., :1]).all()
    assert found["blurred"][0].std() < 0.5 * image.std()
    assert found["small"][0].shape == (32, 40, 3)
    tiled, copies = found["tiled"]
    assert copies == 4
    assert np.array_equal(tiled[:48, :60], tiled[48:, 60:])


@pytest.mark.parametrize(
    ("changes", "heads", "failed"),
    [
        ({}, 120, True),  # sent the sparse way as if that were sure
        ({"scene_unsure": True}, 120, False),
        ({"route": "dense"}, 120, False),
        ({"route": "dense"}, 301, True),  # under a third
        ({"scene_unsure": True}, 301, True),
    ],
)
def test_a_lost_crowd_fails(changes: dict, heads: int, failed: bool) -> None:
    assert fails(dataclasses.replace(SURE, **changes), heads) is failed


@pytest.mark.e2e
def test_every_look_is_counted_by_the_service(small_service: EmbeddedService, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(gray_photo(200, 96, 96))
    expected = expected_count(200, 96, 96)
    sample = Sample(tmp_path / "a.png", np.zeros((round(expected), 2)), "shanghaitech", "A/train")
    with ServiceClient(small_service.http_url, use_proxy=False) as client:
        found = count_looks(client, [sample])
    assert {name: heads for name, [(_, heads)] in found.items()} == {
        **dict.fromkeys(("as it is", "grey", "blurred", "small"), round(expected)),
        "tiled": 4 * round(expected),
    }
    assert found["grey"][0][0].count == pytest.approx(expected, rel=1e-4)
    assert found["small"][0][0].count == pytest.approx(expected / 9, rel=1e-4)
    lines = report(found).splitlines()
    assert len(lines) == 5
    assert lines[3].startswith("small       1 pictures")
    assert lines[3].endswith("failed 1")  # a ninth of the heads

"""An interrupted evaluation, through the real service."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from crowdserve.client.service import ServiceClient
from crowdserve.errors import SetupError
from crowdserve.evaluation.counting import Choices, check_models, count_photos
from crowdserve.evaluation.photos import choose_photos
from crowdserve.evaluation.run import Evaluation
from crowdserve.local.service import EmbeddedService
from tests.support.datasets import write_dataset
from tests.support.photos import expected_count

CHOICES = Choices(counter="csrnet")


@pytest.fixture
def client(small_service: EmbeddedService) -> Iterator[ServiceClient]:
    with ServiceClient(small_service.http_url, use_proxy=False) as client:
        yield client


@pytest.mark.e2e
def test_stopped_run_resumes(client: ServiceClient, tmp_path: Path) -> None:
    write_dataset("ucf-cc-50", tmp_path / "set")
    photos = choose_photos([tmp_path / "set"])
    seen = []

    def stop_after_two(result: object) -> None:
        seen.append(result)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Evaluation(tmp_path / "results", photos, CHOICES).count(client, watch=stop_after_two)
    going_on = Evaluation(tmp_path / "results", photos, CHOICES)
    assert [photo.sample.key for photo in going_on.left] == ["ucf-cc-50-3", "ucf-cc-50-4", "ucf-cc-50-5"]
    outcome = going_on.count(client, watch=seen.append)
    assert len(seen) == 5
    assert [row.key for row in outcome.predictions] == [photo.sample.key for photo in photos]
    assert outcome.predictions[:2] == seen[:2]


@pytest.mark.e2e
def test_blended_count_is_between_those_of_its_routes(client: ServiceClient, tmp_path: Path) -> None:
    write_dataset("ucf-cc-50", tmp_path / "set", ((130, 9),))
    choices = Choices(route="blend", counter="csrnet", every_route=True)
    (row,) = count_photos(client, choose_photos([tmp_path / "set"]), choices)
    assert row.route == "dense+sparse"
    dense, sparse = row.counts["dense_count"], row.counts["sparse_count"]
    assert (dense, sparse) == pytest.approx(
        (expected_count(130, route="dense"), expected_count(130, route="sparse")), rel=1e-3
    )
    of_dense = row.scene_probability if row.scene == "dense" else 1 - row.scene_probability
    assert row.predicted_count == pytest.approx(of_dense * dense + (1 - of_dense) * sparse, rel=1e-3)
    assert row.models.keys() >= {"vgg16", "scene_classifier", "csrnet_a", "csrnet_b"}


def test_models_can_be_added_but_not_changed() -> None:
    known = {"vgg16": "1"}
    check_models(known, {"vgg16": "1", "csrnet_a": "2"})
    assert known == {"vgg16": "1", "csrnet_a": "2"}
    with pytest.raises(SetupError, match="csrnet_a 2 → 3"):
        check_models(known, {"csrnet_a": "3"})

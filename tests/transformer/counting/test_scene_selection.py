"""Selection of one of the scene classifiers beside VGG16 by its name."""

import asyncio
import json
import pickle
import shutil
from pathlib import Path

import httpx
import pytest

from crowdserve.cards import VGG16
from crowdserve.errors import ClassifierError
from crowdserve.local.service import EmbeddedService
from crowdserve.scene.classifier import SceneClassifier
from crowdserve.scene.decision import Decision
from crowdserve.scene.names import record_path
from crowdserve_transformer.model import load_classifier
from crowdserve_transformer.settings import Settings
from tests.support.in_process import INFER, in_process
from tests.support.photos import expected_count, gray_photo
from tests.support.requests import json_body, outputs_of
from training.scene.save import save_classifier

NAMES = ("default", "turned")
DOUBTFUL = Decision(dense_from=1.0, sparse_up_to=0.0, at_stake=1.0, nobody=20.0)


@pytest.fixture(scope="module")
def two_classifiers(small_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with the usual classifier, `turned` that returns the opposite, and `doubtful` that is never sure."""
    repository = tmp_path_factory.mktemp("two") / "repository"
    version = repository / VGG16.name / "1"
    shutil.copytree(small_repository / VGG16.name / "1", version)
    usual = SceneClassifier.load(record_path(version))
    turned = pickle.loads(pickle.dumps(usual.estimator))
    turned.coef_, turned.intercept_ = -turned.coef_, -turned.intercept_
    draft = SceneClassifier.from_estimator(turned, "", {}, version)
    save_classifier(draft, version, usual.record["features"], {}, name="turned")
    save_classifier(draft, version, usual.record["features"], {}, name="doubtful", decision=DOUBTFUL)
    return repository


def test_default_classifier_has_no_name(two_classifiers: Path) -> None:
    version = two_classifiers / VGG16.name / "1"
    found = {name: load_classifier(Settings(repository=two_classifiers, scene_classifier=name)) for name in NAMES}
    for name in NAMES:
        assert found[name].sha256 == json.loads(record_path(version, name).read_text())["sha256"]
    assert found["default"].sha256 != found["turned"].sha256


def test_unknown_classifier_lists_known_ones(two_classifiers: Path) -> None:
    with pytest.raises(ClassifierError, match=r"no scene classifier 'domain'; it has default, doubtful, turned"):
        load_classifier(Settings(repository=two_classifiers, scene_classifier="domain"))


@pytest.mark.e2e
def test_selected_classifier_decides_the_route(
    small_service: EmbeddedService, two_classifiers: Path, client: httpx.Client
) -> None:
    version = two_classifiers / VGG16.name / "1"
    sha256 = json.loads(record_path(version, "turned").read_text())["sha256"]
    body = json_body(gray_photo(200), parameters={"counter": "csrnet"})

    async def ask() -> dict[str, list]:
        async with in_process(small_service.triton.http_url, two_classifiers, scene_classifier="turned") as other:
            return outputs_of(await other.post(INFER, json=body))

    usual, turned = outputs_of(client.post(f"{small_service.http_url}{INFER}", json=body)), asyncio.run(ask())
    assert (usual["scene"], turned["scene"]) == (["dense"], ["sparse"])
    assert turned["count"][0] == pytest.approx(usual["count"][0] / 4, rel=1e-3)
    assert json.loads(turned["models"][0])["scene_classifier"] == sha256[:12]


@pytest.mark.e2e
def test_both_routes_are_asked_where_the_classifier_is_unsure(
    small_service: EmbeddedService, two_classifiers: Path
) -> None:
    """The networks for sparse scenes see a quarter of the people; up to `nobody` that is nobody."""

    async def ask(*asked: tuple[int, dict[str, str]]) -> list[dict[str, list]]:
        async with in_process(small_service.triton.http_url, two_classifiers, scene_classifier="doubtful") as client:
            bodies = [
                json_body(gray_photo(200, width, 64), parameters={"counter": "csrnet", **parameters})
                for width, parameters in asked
            ]
            return [outputs_of(await client.post(INFER, json=body)) for body in bodies]

    crowd, nobody, forced, blended = asyncio.run(
        ask((640, {}), (64, {}), (640, {"route": "sparse"}), (640, {"route": "blend"}))
    )
    assert (crowd["scene"], crowd["route"], crowd["scene_unsure"]) == (["dense"], ["dense"], [True])
    assert crowd["count"] == pytest.approx([expected_count(200, 640, 64, route="dense")], rel=1e-5)
    assert crowd["scene_probability"][0] < 0.5  # the turned classifier would have lost three of four
    assert {"csrnet_a", "csrnet_b"} <= set(json.loads(crowd["models"][0]))
    assert (nobody["scene"], nobody["route"], nobody["scene_unsure"]) == (["sparse"], ["sparse"], [True])
    assert nobody["count"] == pytest.approx([expected_count(200, 64, 64, route="sparse")], rel=1e-5)
    assert (forced["route"], forced["scene_unsure"]) == (["sparse"], [True])
    assert forced["count"] == pytest.approx([expected_count(200, 640, 64, route="sparse")], rel=1e-5)
    assert blended["route"] == ["dense+sparse"]

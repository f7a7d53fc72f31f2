"""Selection of one of the scene classifiers beside VGG16 by its name."""

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
from crowdserve.scene.files import record_path
from crowdserve_transformer.model import load_classifier
from crowdserve_transformer.settings import Settings
from tests.support.photos import expected_count, gray_photo
from tests.support.requests import json_body, outputs_of
from tests.support.transformers import StartTransformer
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
    small_service: EmbeddedService, two_classifiers: Path, start_transformer: StartTransformer, client: httpx.Client
) -> None:
    version = two_classifiers / VGG16.name / "1"
    sha256 = json.loads(record_path(version, "turned").read_text())["sha256"]
    body = json_body(gray_photo(200), parameters={"counter": "csrnet"})
    path = "/v2/models/crowdserve/infer"
    usual = outputs_of(client.post(f"{small_service.http_url}{path}", json=body))
    settings = {"repository": two_classifiers, "scene_classifier": "turned"}
    with start_transformer(small_service.triton.http_url, **settings) as running:
        turned = outputs_of(client.post(f"{running.http_url}{path}", json=body))
    assert (usual["scene"], turned["scene"]) == (["dense"], ["sparse"])
    assert turned["count"][0] == pytest.approx(usual["count"][0] / 4, rel=1e-3)
    assert json.loads(turned["models"][0])["scene_classifier"] == sha256[:12]


@pytest.mark.e2e
def test_both_routes_are_asked_where_the_classifier_is_unsure(
    small_service: EmbeddedService, two_classifiers: Path, start_transformer: StartTransformer, client: httpx.Client
) -> None:
    """The networks for sparse scenes see a quarter of the people; up to `nobody` that is nobody."""
    path = "/v2/models/crowdserve/infer"
    settings = {"repository": two_classifiers, "scene_classifier": "doubtful"}
    with start_transformer(small_service.triton.http_url, **settings) as running:

        def ask(width: int, **parameters: object) -> dict[str, list]:
            body = json_body(gray_photo(200, width, 64), parameters={"counter": "csrnet", **parameters})
            return outputs_of(client.post(f"{running.http_url}{path}", json=body))

        crowd, nobody, forced = ask(640), ask(64), ask(640, route="sparse")
        blended = ask(640, route="blend")
    assert (crowd["scene"], crowd["route"], crowd["scene_unsure"]) == (["dense"], ["dense"], [True])
    assert crowd["count"] == pytest.approx([expected_count(200, 640, 64, route="dense")], rel=1e-5)
    assert crowd["scene_probability"][0] < 0.5  # the turned classifier would have lost three of four
    assert {"csrnet_a", "csrnet_b"} <= set(json.loads(crowd["models"][0]))
    assert (nobody["scene"], nobody["route"], nobody["scene_unsure"]) == (["sparse"], ["sparse"], [True])
    assert nobody["count"] == pytest.approx([expected_count(200, 64, 64, route="sparse")], rel=1e-5)
    assert (forced["route"], forced["scene_unsure"]) == (["sparse"], [True])
    assert forced["count"] == pytest.approx([expected_count(200, 640, 64, route="sparse")], rel=1e-5)
    assert blended["route"] == ["dense+sparse"]

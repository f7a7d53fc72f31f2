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
from crowdserve.scene.files import record_path
from crowdserve_transformer.model import load_classifier
from crowdserve_transformer.settings import Settings
from tests.support.photos import gray_photo
from tests.support.requests import json_body, outputs_of
from tests.support.transformers import StartTransformer
from training.scene.save import save_classifier

NAMES = ("default", "turned")


@pytest.fixture(scope="module")
def two_classifiers(small_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with the usual classifier and one called `turned` that returns the opposite."""
    repository = tmp_path_factory.mktemp("two") / "repository"
    version = repository / VGG16.name / "1"
    shutil.copytree(small_repository / VGG16.name / "1", version)
    usual = SceneClassifier.load(record_path(version))
    turned = pickle.loads(pickle.dumps(usual.estimator))
    turned.coef_, turned.intercept_ = -turned.coef_, -turned.intercept_
    draft = SceneClassifier.from_estimator(turned, "", {}, version)
    save_classifier(draft, version, usual.record["features"], {}, name="turned")
    return repository


def test_default_classifier_has_no_name(two_classifiers: Path) -> None:
    version = two_classifiers / VGG16.name / "1"
    found = {name: load_classifier(Settings(repository=two_classifiers, scene_classifier=name)) for name in NAMES}
    for name in NAMES:
        assert found[name].sha256 == json.loads(record_path(version, name).read_text())["sha256"]
    assert found["default"].sha256 != found["turned"].sha256


def test_unknown_classifier_lists_known_ones(two_classifiers: Path) -> None:
    with pytest.raises(ClassifierError, match=r"no scene classifier 'domain'; it has default, turned"):
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

"""Bundles that somebody made to do harm: not started beside what is foreign, not run, not signed."""

import json
from pathlib import Path

import joblib
import pytest

from crowdserve.bundle.assembly import build_bundle
from crowdserve.bundle.folder import hash_file
from crowdserve.bundle.manifest import Manifest, describe_files, read_manifest
from crowdserve.bundle.neighbours import MANIFEST_FILE
from crowdserve.bundle.signature import read_private_key
from crowdserve.bundle.signing import sign_bundle
from crowdserve.cards import VGG16
from crowdserve.errors import BundleError, ClassifierError, SetupError
from crowdserve_transformer.model import load_classifier
from crowdserve_transformer.readiness.repository import verify_repository
from crowdserve_transformer.settings import Settings
from tests.support.commands import run_bundle
from tests.support.signing_keys import PASSWORD, new_key, private_pem, write_keys


@pytest.fixture
def bundle(small_repository: Path, tmp_path: Path) -> Path:
    """A whole bundle."""
    build_bundle(small_repository, tmp_path / "bundle", "gpu")
    return tmp_path / "bundle"


def demanding(bundle: Path, **settings: object) -> Settings:
    """A transformer's settings."""
    return Settings(repository=bundle, verify_bundle="required", **settings)


@pytest.mark.parametrize("name", [".hidden", "extra"])
def test_the_transformer_does_not_start_beside_a_foreign_model(bundle: Path, name: str) -> None:
    verify_repository(demanding(bundle))
    (bundle / name / "1").mkdir(parents=True)
    (bundle / name / "config.pbtxt").write_text('backend: "python"')
    (bundle / name / "1" / "model.py").write_text("raise SystemExit")
    for command in ("verify", "push"):
        result = run_bundle(command, bundle, *([bundle.parent / "claim"] if command == "push" else []))
        assert result.returncode == 2
        assert f"{name}/1/model.py is extra" in result.stderr
    with pytest.raises(BundleError, match=rf"{name}/1/model\.py is extra"):
        verify_repository(demanding(bundle))


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.target,))


def forge(bundle: Path, sprung: Path) -> Manifest:
    """Put a pickle, its record and a manifest of both into a bundle: whoever can write one can write all."""
    folder = bundle / VGG16.name / "1"
    (folder / "scene_classifier.npz").unlink()
    pickle = folder / "scene_classifier.joblib"
    joblib.dump(Trap(sprung), pickle)
    record = json.loads((folder / "scene_classifier.json").read_text())
    record |= {"type": "scikit-learn", "sha256": hash_file(pickle)}
    (folder / "scene_classifier.json").write_text(json.dumps(record))
    before = read_manifest(bundle)
    (bundle / MANIFEST_FILE).unlink()
    forged = Manifest(before.crowdserve, before.profile, before.models, describe_files(bundle))
    (bundle / MANIFEST_FILE).write_bytes(forged.to_bytes())
    return forged


def test_a_forged_classifier_runs_no_code(bundle: Path, tmp_path: Path) -> None:
    digest = read_manifest(bundle).digest
    sprung = tmp_path / "sprung"
    forged = forge(bundle, sprung)
    verify_repository(demanding(bundle))  # whole by its own account
    with pytest.raises(ClassifierError, match="not opened"):
        load_classifier(demanding(bundle))
    with pytest.raises(BundleError, match=f"has the digest {forged.digest}, expected {digest}"):
        verify_repository(demanding(bundle, bundle_digest=digest, allow_pickle=True))
    assert not sprung.exists()
    with pytest.raises(ClassifierError):
        load_classifier(demanding(bundle, allow_pickle=True))
    assert sprung.exists()  # the trap works


def test_a_forged_bundle_is_not_signed(bundle: Path, tmp_path: Path) -> None:
    private, public = write_keys(tmp_path)
    demanded = demanding(bundle, bundle_public_key=str(public))
    with pytest.raises(BundleError, match=r"has no manifest\.json\.sig"):
        verify_repository(demanded)
    sign_bundle(bundle, read_private_key(private, lambda: PASSWORD))
    verify_repository(demanded)
    verify_repository(demanding(bundle, bundle_digest=read_manifest(bundle).digest, bundle_public_key=str(public)))
    forge(bundle, tmp_path / "sprung")
    with pytest.raises(BundleError, match=r"is no signature of its manifest\.json"):
        verify_repository(demanded)
    (tmp_path / "other.key").write_bytes(private_pem(new_key()))
    sign_bundle(bundle, read_private_key(tmp_path / "other.key", str))
    with pytest.raises(BundleError, match="signed with another key"):
        verify_repository(demanded)
    with pytest.raises(BundleError, match="gives no public key"):
        verify_repository(demanding(bundle, bundle_public_key=str(tmp_path / "nowhere.pub")))


@pytest.mark.parametrize("name", ["bundle_digest", "bundle_public_key"])
def test_a_demand_makes_the_manifest_required_and_off_contradicts_it(bundle: Path, name: str) -> None:
    (bundle / MANIFEST_FILE).unlink()
    value = f"sha256:{'0' * 64}"
    verify_repository(Settings(repository=bundle))
    with pytest.raises(BundleError, match="has no manifest"):
        verify_repository(Settings(repository=bundle, **{name: value}))
    with pytest.raises(SetupError, match=f"verify_bundle is off, so that {name} would say nothing"):
        verify_repository(Settings(repository=bundle, verify_bundle="off", **{name: value}))

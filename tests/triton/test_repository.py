"""Rendering the model repository and finding drift in it."""

import json
import shutil
from pathlib import Path

import pytest

from crowdserve.cards import CARDS, ENSEMBLES
from crowdserve.errors import RepositoryError
from crowdserve.triton.config import repository_configs
from crowdserve.triton.repository import check_repository, model_versions, render_repository
from tests.support.paths import REPOSITORY


@pytest.fixture
def source(small_repository: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return shutil.copytree(small_repository, tmp_path / "source")


def test_committed_repository_is_up_to_date() -> None:
    check_repository(REPOSITORY)


@pytest.mark.parametrize("profile", ["gpu", "tensorrt"])
def test_cluster_repository_is_complete_and_without_links(source: Path, tmp_path: Path, profile: str) -> None:
    target = tmp_path / "target"
    render_repository(source, target, profile)
    assert not [path for path in target.rglob("*") if path.is_symlink()]
    for name, text in repository_configs(profile).items():
        assert (target / name / "config.pbtxt").read_text() == text
    for name in CARDS:
        assert (target / name / "configs" / "cpu.pbtxt").read_text() == repository_configs("cpu")[name]
        assert (target / name / "1" / "model.onnx").read_bytes() == (source / name / "1" / "model.onnx").read_bytes()
    assert (target / "vgg16" / "1" / "scene_classifier.npz").is_file()
    for ensemble in ENSEMBLES.values():
        assert (target / ensemble.name / "1").is_dir()


def test_embedded_repository_links_instead_of_copying(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    render_repository(source, target, "embedded")
    for name in CARDS:
        model = target / name / "1" / "model.onnx"
        assert model.is_symlink()
        assert model.resolve() == (source / name / "1" / "model.onnx").resolve()
        assert {path.name for path in (target / name / "1").glob("*.py")} == {"model.py", "networks.py", "turns.py"}
        assert (target / name / "configs" / "bf16.pbtxt").is_file()


def test_only_the_embedded_profile_takes_networks_in_8_bits(source: Path, tmp_path: Path) -> None:
    for name in ("int8.xml", "int8.bin", "int8.json"):
        (source / "csrnet_b" / "1" / name).write_text("{}")
    for profile, expected in (("embedded", {"int8.xml", "int8.bin", "int8.json"}), ("gpu", set()), ("cpu", set())):
        render_repository(source, tmp_path / profile, profile)
        assert {path.name for path in (tmp_path / profile / "csrnet_b" / "1").glob("int8.*")} == expected


def test_embedded_repository_can_be_rendered_again_into_any_profile(source: Path, tmp_path: Path) -> None:
    render_repository(source, tmp_path / "embedded", "embedded")
    render_repository(tmp_path / "embedded", tmp_path / "gpu", "gpu")
    check_repository(tmp_path / "gpu")
    assert not list((tmp_path / "gpu").rglob("*.py"))


def test_every_version_is_rendered(source: Path, tmp_path: Path) -> None:
    shutil.copytree(source / "csrnet_a" / "1", source / "csrnet_a" / "12")
    (source / "csrnet_a" / "notes").mkdir()
    assert model_versions(source, "csrnet_a") == [1, 12]
    render_repository(source, tmp_path / "target", "tensorrt")
    assert model_versions(tmp_path / "target", "csrnet_a") == [1, 12]


def test_rendering_in_place_repairs_drift(source: Path) -> None:
    config = source / "vgg16" / "config.pbtxt"
    config.write_text(config.read_text().replace("max_batch_size: 32", "max_batch_size: 64"))
    with pytest.raises(
        RepositoryError, match=r"-max_batch_size: 64\n\+max_batch_size: 32(.|\n)*run: crowdserve"
    ) as found:
        check_repository(source)
    assert "vgg16/config.pbtxt" in str(found.value)
    render_repository(source, source, "gpu")
    check_repository(source)


def test_record_of_another_model_is_drift(source: Path) -> None:
    (source / "csrnet_b" / "1" / "meta.json").write_text(json.dumps({"model_sha256": "0" * 64}))
    with pytest.raises(RepositoryError, match=r"csrnet_b/1/meta\.json describes"):
        check_repository(source)


def test_stale_or_unknown_cpu_config_is_drift(source: Path) -> None:
    (source / "vgg16" / "configs" / "cpu.pbtxt").write_text("max_batch_size: 1")
    (source / "csrnet_a" / "configs" / "h100.pbtxt").write_text("max_batch_size: 1")
    with pytest.raises(RepositoryError, match=r"csrnet_a/configs/h100.pbtxt(.|\n)*vgg16/configs/cpu.pbtxt"):
        check_repository(source)


def test_model_without_a_card_is_drift(source: Path) -> None:
    shutil.copytree(source / "vgg16", source / "resnet")
    with pytest.raises(RepositoryError, match=r"resnet/config.pbtxt"):
        check_repository(source)


def test_missing_model_names_the_exporter(source: Path, tmp_path: Path) -> None:
    (source / "csrnet_b" / "1" / "model.onnx").unlink()
    with pytest.raises(RepositoryError, match=r"no <version>/model.onnx of csrnet_b; export .* export/csrnet"):
        render_repository(source, tmp_path / "target", "embedded")
    with pytest.raises(RepositoryError, match="csrnet_b"):
        check_repository(source)
    assert not (tmp_path / "target").exists()


def test_target_must_be_empty_and_elsewhere(source: Path, tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="lies inside"):
        render_repository(source, source / "embedded", "embedded")
    with pytest.raises(RepositoryError, match="carries the gpu profile"):
        render_repository(source, source, "tensorrt")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(RepositoryError, match="not an empty folder"):
        render_repository(source, tmp_path / "full", "embedded")

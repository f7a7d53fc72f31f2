"""A bundle as an image in a registry: the files that a node unpacks, and faults of registries."""

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from crowdserve.bundle import registry as client
from crowdserve.bundle.image import DIGEST_LABEL, SCRATCH, ImageLayout, write_image
from crowdserve.bundle.manifest import Manifest, read_manifest
from crowdserve.bundle.neighbours import MANIFEST_FILE
from crowdserve.bundle.publication import push_image, read_base
from crowdserve.bundle.reference import parse_reference
from crowdserve.errors import BundleError
from tests.support.registry import RunningRegistry


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(client, "_PAUSE_SECONDS", 0.0)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))


def unpack(registry: RunningRegistry, repository: str, digest: str, folder: Path) -> list[dict[str, Any]]:
    """Unpack each architecture of an image as a node does; returns their configurations."""
    configs = []
    for image in registry.get(f"{repository}/manifests/{digest}").json()["manifests"]:
        described = registry.get(f"{repository}/manifests/{image['digest']}").json()
        config = registry.get(f"{repository}/blobs/{described['config']['digest']}").json()
        assert config["architecture"] == image["platform"]["architecture"]
        for layer, diff in zip(described["layers"], config["rootfs"]["diff_ids"], strict=True):
            content = registry.get(f"{repository}/blobs/{layer['digest']}").content
            assert (f"sha256:{hashlib.sha256(content).hexdigest()}", len(content)) == (layer["digest"], layer["size"])
            tar = gzip.decompress(content) if layer["mediaType"].endswith("+gzip") else content
            assert f"sha256:{hashlib.sha256(tar).hexdigest()}" == diff
            with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
                safely = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # from Python 3.11.4 on
                archive.extractall(folder / config["architecture"], **safely)
        configs.append(config)
    return configs


def test_node_unpacks_the_bundle_under_models(
    registry: RunningRegistry, built: Path, manifest: Manifest, tmp_path: Path
) -> None:
    target = parse_reference(f"oci://{registry.address}/crowd/models:1")
    address = push_image(built, manifest, target, base="scratch")
    repository, digest = address.removeprefix(f"oci://{registry.address}/").split("@")
    configs = unpack(registry, repository, digest, tmp_path)
    assert [config["architecture"] for config in configs] == ["amd64", "arm64"]
    for config in configs:
        models = tmp_path / config["architecture"] / "models"
        assert read_manifest(models) == manifest
        manifest.check(models)
        assert config["config"]["Labels"][DIGEST_LABEL] == manifest.digest
    assert registry.get("crowd/models/manifests/1").content == registry.get(f"crowd/models/manifests/{digest}").content


def test_tag_is_not_overwritten(registry: RunningRegistry, bundle: Path, built: Path, manifest: Manifest) -> None:
    target = parse_reference(f"{registry.address}/crowd/models:1")
    address = push_image(built, manifest, target, base="scratch")
    assert push_image(built, manifest, target, base="scratch") == address
    other = Manifest("9.9", "gpu", manifest.models, manifest.files)
    (bundle / MANIFEST_FILE).write_bytes(other.to_bytes())
    with pytest.raises(BundleError, match=r"models:1 is another image already.*push to a new tag"):
        push_image(bundle, other, target, base="scratch")
    push_image(bundle, other, parse_reference(f"{registry.address}/crowd/models:2"), base="scratch")


def test_new_version_of_one_model_uploads_that_model(
    stand_in: RunningRegistry, bundle: Path, built: Path, manifest: Manifest
) -> None:
    push_image(built, manifest, parse_reference(f"{stand_in.address}/m:1"), base="scratch")
    before = set(stand_in.blobs)
    (bundle / "csrnet_a" / "config.pbtxt").write_text("another")
    (bundle / MANIFEST_FILE).write_bytes(Manifest("9.9", "gpu", manifest.models, manifest.files).to_bytes())
    push_image(bundle, manifest, parse_reference(f"{stand_in.address}/m:2"), base="scratch")
    layers = [blob for digest, blob in stand_in.blobs.items() if digest not in before and not blob.startswith(b"{")]
    assert [_names(layer)[:3] for layer in layers] == [
        ["models", "models/csrnet_a", "models/csrnet_a/1"],
        ["models", f"models/{MANIFEST_FILE}"],
    ]


def _names(tar: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        return archive.getnames()


def test_same_bundle_gives_the_same_image_layout(built: Path, manifest: Manifest, tmp_path: Path) -> None:
    digests = []
    for name in ("a", "b"):
        layout = ImageLayout(tmp_path / name)
        index = write_image(built, manifest, SCRATCH, layout)
        digests.append(index["digest"])
        assert json.loads((tmp_path / name / "index.json").read_text())["manifests"] == [index]
        for blob in (tmp_path / name / "blobs" / "sha256").iterdir():
            assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name
    assert digests[0] == digests[1]


def push_base(registry: RunningRegistry, folder: Path, *architectures: str) -> str:
    """Push an image with a shell in it, in the format of older Docker versions; its reference."""
    reference = parse_reference(f"{registry.address}/base:1")
    images = []
    with client.Registry(reference) as base:
        for architecture in architectures:
            tar = _shell_tar(architecture)
            layer = _push_bytes(base, gzip.compress(tar, mtime=0), folder)
            diff = f"sha256:{hashlib.sha256(tar).hexdigest()}"
            settings = {"Cmd": ["sh"], "Labels": {"from": "base"}}
            config = {"architecture": architecture, "os": "linux", "config": settings}
            config |= {"rootfs": {"type": "layers", "diff_ids": [diff]}, "history": [{}]}
            image = {
                "schemaVersion": 2,
                "mediaType": DOCKER + "distribution.manifest.v2+json",
                "config": {**_push_bytes(base, json.dumps(config).encode(), folder)},
                "layers": [{**layer, "mediaType": DOCKER + "image.rootfs.diff.tar.gzip"}],
            }
            image["config"]["mediaType"] = DOCKER + "container.image.v1+json"
            content = json.dumps(image).encode()
            digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
            base.push_manifest(content, image["mediaType"], digest)
            platform = {"os": "linux", "architecture": architecture}
            images.append(
                {"mediaType": image["mediaType"], "digest": digest, "size": len(content), "platform": platform}
            )
        index = {"schemaVersion": 2, "mediaType": DOCKER + "distribution.manifest.list.v2+json"}
        base.push_manifest(json.dumps({**index, "manifests": images}).encode(), index["mediaType"], "1")
    return str(reference)


DOCKER = "application/vnd.docker."


def _shell_tar(architecture: str) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        member = tarfile.TarInfo("bin/sh")
        member.size, member.mode = len(architecture), 0o755
        archive.addfile(member, io.BytesIO(architecture.encode()))
    return stream.getvalue()


def _push_bytes(registry: client.Registry, content: bytes, folder: Path) -> dict[str, Any]:
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    (folder / "blob").write_bytes(content)
    registry.push_blob(digest, folder / "blob")
    return {"digest": digest, "size": len(content)}


def test_bundle_layer_is_added_to_every_architecture_of_the_base(
    registry: RunningRegistry, built: Path, manifest: Manifest, tmp_path: Path
) -> None:
    base = push_base(registry, tmp_path, "amd64", "s390x", "arm64")
    address = push_image(built, manifest, parse_reference(f"{registry.address}/crowd/models:1"), base=base)
    configs = unpack(registry, "crowd/models", address.split("@")[1], tmp_path / "node")
    assert [config["architecture"] for config in configs] == ["amd64", "arm64"]
    for config in configs:
        root = tmp_path / "node" / config["architecture"]
        assert (root / "bin" / "sh").read_text() == config["architecture"]
        manifest.check(root / "models")
        assert config["config"]["Cmd"] == ["sh"]
        assert config["config"]["Labels"]["from"] == "base"


def test_unusable_base_is_named(stand_in: RunningRegistry, tmp_path: Path) -> None:
    base = parse_reference(push_base(stand_in, tmp_path, "s390x"))
    with pytest.raises(BundleError, match=r"base:1 is there for none of linux/amd64, linux/arm64"):
        read_base(base)
    with pytest.raises(BundleError, match=r"base:2 does not exist.*or scratch"):
        read_base(parse_reference(f"{stand_in.address}/base:2"))


def test_damaged_blob_is_detected(stand_in: RunningRegistry, tmp_path: Path) -> None:
    base = parse_reference(push_base(stand_in, tmp_path, "amd64"))
    stand_in.damages = True
    with pytest.raises(BundleError, match=r"the registry sent something with sha256:.*, expected sha256:"):
        read_base(base)


@pytest.mark.parametrize(("user", "challenge"), [("me:pass:word", "basic"), ("me:pass:word", "bearer")])
def test_login_is_sent(
    stand_in: RunningRegistry, built: Path, manifest: Manifest, tmp_path: Path, user: str, challenge: str
) -> None:
    stand_in.user, stand_in.challenge = user, challenge
    target = parse_reference(f"{stand_in.address}/m:1")
    with pytest.raises(BundleError, match=r"401.*check the name and the login"):
        push_image(built, manifest, target, base="scratch")
    _log_in(tmp_path, stand_in.address, {"auth": "bWU6cGFzczp3b3Jk"})
    push_image(built, manifest, target, base="scratch")
    assert "m:1" in stand_in.manifests
    assert "bWU6" not in str(stand_in.requests)


def test_refresh_token_is_exchanged(stand_in: RunningRegistry, built: Path, manifest: Manifest, tmp_path: Path) -> None:
    stand_in.user, stand_in.challenge = "<token>:refresh", "bearer"
    _log_in(tmp_path, stand_in.address, {"identitytoken": "refresh"})
    push_image(built, manifest, parse_reference(f"{stand_in.address}/m:1"), base="scratch")
    assert "POST /token" in stand_in.requests
    assert "m:1" in stand_in.manifests


def _log_in(folder: Path, address: str, entry: dict[str, str]) -> None:
    (folder / "config.json").write_text(json.dumps({"auths": {address: entry}}))


def test_upload_is_retried_and_lasting_failure_is_reported(
    stand_in: RunningRegistry, built: Path, manifest: Manifest
) -> None:
    stand_in.passing_failures = 2
    push_image(built, manifest, parse_reference(f"{stand_in.address}/m:1"), base="scratch")
    assert "m:1" in stand_in.manifests
    stand_in.passing_failures = 99
    stand_in.blobs.clear()
    with pytest.raises(BundleError, match=r"m:2: PUT answered 503 .*3 times.*try again"):
        push_image(built, manifest, parse_reference(f"{stand_in.address}/m:2"), base="scratch")
    assert "m:2" not in stand_in.manifests
    stand_in.passing_failures = 0
    push_image(built, manifest, parse_reference(f"{stand_in.address}/m:2"), base="scratch")


def test_refusal_quotes_the_registry(stand_in: RunningRegistry, tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(b"x")
    with (
        client.Registry(parse_reference(f"{stand_in.address}/m:1")) as registry,
        pytest.raises(BundleError, match=r"400 DIGEST_INVALID provided digest did not match"),
    ):
        registry.push_blob(f"sha256:{'0' * 64}", tmp_path / "blob")


def test_unreachable_registry_is_reported(built: Path, manifest: Manifest) -> None:
    with pytest.raises(BundleError, match=r"127.0.0.1:9/m:1: .*refused.*--plain-http"):
        push_image(built, manifest, parse_reference("127.0.0.1:9/m:1"), base="scratch")

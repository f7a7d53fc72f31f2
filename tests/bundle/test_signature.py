"""Signatures: those of cosign's keys, read by OpenSSL, carried along, and refused when anything differs."""

import base64
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from crowdserve.bundle.archive import write_tar
from crowdserve.bundle.bucket import BucketStore
from crowdserve.bundle.cache import ModelCache
from crowdserve.bundle.manifest import Manifest
from crowdserve.bundle.neighbours import MANIFEST_FILE, MAX_SIGNATURE_BYTES, SIGNATURE_FILE
from crowdserve.bundle.placement import FolderStore, place_bundle
from crowdserve.bundle.publication import push_image
from crowdserve.bundle.pull import pull_bundle
from crowdserve.bundle.reference import parse_reference
from crowdserve.bundle.signature import check_signature, read_private_key, read_public_key
from crowdserve.bundle.signing import sign_bundle
from crowdserve.bundle.unpacking import opened_bundle
from crowdserve.errors import BundleError
from tests.support.commands import run_bundle
from tests.support.registry import RunningRegistry
from tests.support.signing_keys import PASSWORD, encrypted_pem, new_key, private_der, public_pem, write_keys


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    """Private and public key, as cosign writes them."""
    return write_keys(tmp_path)


@pytest.fixture
def signed(bundle: Path, keys: tuple[Path, Path]) -> Path:
    """A signed bundle."""
    sign_bundle(bundle, read_private_key(keys[0], lambda: PASSWORD))
    return bundle


def test_a_signed_bundle_is_whole_and_signed(signed: Path, manifest: Manifest, keys: tuple[Path, Path]) -> None:
    manifest.check(signed)
    check_signature(signed, keys[1])
    before = (signed / SIGNATURE_FILE).read_bytes()
    sign_bundle(signed, read_private_key(keys[0], lambda: PASSWORD))
    assert (signed / SIGNATURE_FILE).read_bytes() == before  # so that pushing it again does nothing


def test_a_pull_can_demand_a_signature(
    bundle: Path, keys: tuple[Path, Path], cache: ModelCache, tmp_path: Path
) -> None:
    with pytest.raises(BundleError, match=r"has no manifest.json.sig, and a signature by .* is demanded"):
        pull_bundle(str(bundle), cache, key=keys[1])
    assert cache.current() is None
    unsigned = pull_bundle(str(bundle), cache)
    sign_bundle(bundle, read_private_key(keys[0], lambda: PASSWORD))
    assert pull_bundle(str(bundle), cache, digest=unsigned.digest, key=keys[1]) == unsigned
    shutil.rmtree(bundle)
    check_signature(unsigned.folder, keys[1])
    assert pull_bundle("elsewhere", cache, digest=unsigned.digest, key=keys[1]) == unsigned  # nothing is asked
    (tmp_path / "other.pub").write_bytes(public_pem(new_key()))
    with pytest.raises(BundleError, match="elsewhere is neither a folder nor a file"):
        pull_bundle("elsewhere", cache, digest=unsigned.digest, key=tmp_path / "other.pub")


def test_openssl_reads_the_signature(signed: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    (tmp_path / "signature").write_bytes(base64.b64decode((signed / SIGNATURE_FILE).read_bytes()))
    command = ["openssl", "dgst", "-sha256", "-verify", keys[1], "-signature", tmp_path / "signature"]
    for file, verdict in ((MANIFEST_FILE, "Verified OK"), ("vgg16/config.pbtxt", "Verification failure")):
        done = subprocess.run([*command, signed / file], capture_output=True, text=True, check=False)
        assert verdict in done.stdout + done.stderr


def test_an_archive_is_signed_where_it_lies(
    archive: Path, keys: tuple[Path, Path], manifest: Manifest, tmp_path: Path
) -> None:
    path = shutil.copy(archive, tmp_path / "bundle.tar")
    sign_bundle(path, read_private_key(keys[0], lambda: PASSWORD))
    with opened_bundle(path) as (folder, found):
        assert found == manifest
        found.check(folder)
        check_signature(folder, keys[1], shown_as=path)
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / SIGNATURE_FILE).unlink(), "has no manifest.json.sig"),
        (lambda folder: (folder / SIGNATURE_FILE).write_bytes(b""), "is no signature of its manifest.json"),
        (lambda folder: (folder / SIGNATURE_FILE).write_bytes(b"!!"), "is no signature of its manifest.json"),
        (lambda folder: (folder / SIGNATURE_FILE).write_bytes(base64.b64encode(b"x" * 70)), "is no signature of its"),
        (lambda folder: (folder / SIGNATURE_FILE).write_bytes(b"A" * (MAX_SIGNATURE_BYTES + 1)), "cannot be read"),
        (
            lambda folder: (folder / MANIFEST_FILE).write_bytes((folder / MANIFEST_FILE).read_bytes() + b" "),
            "is no signature of its manifest.json",
        ),
    ],
)
def test_anything_but_a_signature_of_this_manifest_is_refused(
    signed: Path, keys: tuple[Path, Path], change: Callable[[Path], object], message: str
) -> None:
    change(signed)
    with pytest.raises(BundleError, match=message):
        check_signature(signed, keys[1])


def test_the_signature_of_another_key_is_refused(signed: Path, tmp_path: Path) -> None:
    (tmp_path / "other.pub").write_bytes(public_pem(new_key()))
    with pytest.raises(BundleError, match=r"by the key in .*other.pub: .*signed with another key"):
        check_signature(signed, tmp_path / "other.pub")


@pytest.mark.parametrize("kind", ["SIGSTORE", "COSIGN", "PEM", "SEC1"])
def test_every_form_of_a_private_key_is_read(tmp_path: Path, kind: str) -> None:
    key, path = new_key(), tmp_path / "some.key"
    if kind in {"PEM", "SEC1"}:
        form = PrivateFormat.PKCS8 if kind == "PEM" else PrivateFormat.TraditionalOpenSSL
        path.write_bytes(key.private_bytes(Encoding.PEM, form, NoEncryption()))
    else:
        path.write_bytes(encrypted_pem(private_der(key), "p4ss", kind))
    assert public_pem(read_private_key(path, lambda: "p4ss")) == public_pem(key)


def _ed25519() -> bytes:
    key = ed25519.Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


SCRYPT = {"name": "scrypt", "salt": ""}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "gives no private key"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "gives no private key"),
        (encrypted_pem(b"no key at all", "p4ss"), "gives no private key"),
        (encrypted_pem(private_der(new_key()), "other"), "another password"),
        (encrypted_pem(private_der(new_key()), "p4ss", kdf={"name": "md5"}), "KeyError|encrypted with|'params'"),
        (encrypted_pem(private_der(new_key()), "p4ss", cipher={"name": "none"}), "encrypted with"),
        (
            encrypted_pem(b"", "p4ss", kdf={**SCRYPT, "params": {"N": 1 << 40, "r": 8, "p": 1}}),
            "more than 256 MiB",
        ),
        (encrypted_pem(b"", "p4ss", kdf={**SCRYPT, "params": {"N": 2, "r": 1, "p": 1 << 30}}), "more than 256 MiB"),
        (encrypted_pem(b"", "p4ss", kdf={**SCRYPT, "params": {"N": 2, "r": 0, "p": 1}}), "more than 256 MiB"),
        (encrypted_pem(b"", "p4ss", kdf={**SCRYPT, "params": []}), "gives no private key"),
        (encrypted_pem(b"", "p4ss", kdf=[]), "gives no private key"),
        (encrypted_pem(_ed25519(), "p4ss"), "Ed25519PrivateKey"),
        (encrypted_pem(private_der(ec.generate_private_key(ec.SECP384R1())), "p4ss"), "expected one of ECDSA on P-256"),
        (bytes(1 << 17), "larger than 65,536 bytes"),
    ],
)
def test_what_is_no_private_key_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "some.key").write_bytes(content)
    with pytest.raises(BundleError, match=message):
        read_private_key(tmp_path / "some.key", lambda: "p4ss")


def test_what_is_no_public_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "some.pub"
    pem = (
        ed25519.Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    for content in (b"", b"x", pem, private_der(new_key())):
        path.write_bytes(content)
        with pytest.raises(BundleError, match="gives no public key"):
            read_public_key(path)
    with pytest.raises(BundleError, match="nowhere gives no public key"):
        read_public_key(tmp_path / "nowhere")


@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_a_push_carries_the_signature_along_even_later(
    kind: str, signed: Path, built: Path, manifest: Manifest, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = tmp_path / "claim"
    store = FolderStore(folder) if kind == "folder" else BucketStore(f"s3://{request.getfixturevalue('s3')}/crowd")
    place_bundle(built, manifest, store)
    assert SIGNATURE_FILE not in store.listing()
    place_bundle(signed, manifest, store)
    there = store.listing()
    assert SIGNATURE_FILE in there
    place_bundle(built, manifest, store)
    place_bundle(signed, manifest, store)
    assert store.listing() == there
    (signed / SIGNATURE_FILE).write_bytes(b"another")
    with pytest.raises(BundleError, match=r"holds something else: manifest.json.sig"):
        place_bundle(signed, manifest, store)


@pytest.mark.parametrize("kind", ["folder", "tar", "web", "s3", "image"])
def test_a_pull_brings_the_signature(
    kind: str,
    signed: Path,
    manifest: Manifest,
    keys: tuple[Path, Path],
    cache: ModelCache,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    address = str(signed)
    if kind in {"tar", "web"}:
        (tmp_path / "shelf").mkdir()
        with (tmp_path / "shelf" / "bundle.tar").open("wb") as stream:
            write_tar(stream, signed, [MANIFEST_FILE, SIGNATURE_FILE, *manifest.files])
        serve: Callable[[Path], Any] = request.getfixturevalue("serve_folder")
        shelf = tmp_path / "shelf"
        address = str(shelf / "bundle.tar") if kind == "tar" else f"{serve(shelf).url}/bundle.tar"
    elif kind == "s3":
        store = BucketStore(f"s3://{request.getfixturevalue('s3')}/crowd")
        place_bundle(signed, manifest, store)
        address = store.address
    elif kind == "image":
        registry: RunningRegistry = request.getfixturevalue("stand_in")
        address = push_image(signed, manifest, parse_reference(f"{registry.address}/m:1"), base="scratch")
    bundle = pull_bundle(address, cache)
    check_signature(bundle.folder, keys[1])
    bundle.manifest.check(bundle.folder)


def test_the_command_signs_and_verifies(bundle: Path, keys: tuple[Path, Path], manifest: Manifest) -> None:
    private, public = keys
    refused = run_bundle("sign", bundle, "--key", private, COSIGN_PASSWORD="wrong")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "another password" in refused.stderr
    assert not (bundle / SIGNATURE_FILE).exists()
    unsigned = run_bundle("verify", bundle, "--key", public)
    assert unsigned.returncode == 2
    assert "has no manifest.json.sig" in unsigned.stderr
    done = run_bundle("sign", bundle, "--key", private, COSIGN_PASSWORD=PASSWORD)
    assert (done.returncode, done.stdout) == (0, f"{manifest.digest}\n"), done.stderr
    verified = run_bundle("verify", bundle, "--key", public)
    assert (verified.returncode, verified.stdout) == (0, f"{manifest.digest}\n"), verified.stderr
    assert f"{bundle}: intact, signed with {public}; gpu profile" in verified.stderr
    assert f'storage: {{digest: "{manifest.digest}"}}' in verified.stderr

"""`crowdserve bundle` as users run it: stdout for scripts, stderr for messages, exit code 2 for errors."""

import subprocess
from collections.abc import Callable
from pathlib import Path

from crowdserve.bundle.manifest import Manifest, describe_files, read_manifest
from crowdserve.bundle.neighbours import MANIFEST_FILE
from tests.support.commands import run_bundle
from tests.support.registry import RunningRegistry

Run = Callable[..., subprocess.CompletedProcess[str]]


def test_build_verify_push(small_repository: Path, tmp_path: Path, s3: str, stand_in: RunningRegistry) -> None:
    folder, archive = tmp_path / "bundle", tmp_path / "bundle.tar"
    built = run_bundle("build", folder, archive, "--source", small_repository)
    assert built.returncode == 0, built.stderr
    digest = read_manifest(folder).digest
    assert built.stdout == f"{digest}\n"
    assert f"{archive}: gpu profile, " in built.stderr
    assert built.stderr.splitlines()[-1] == f'storage: {{digest: "{digest}"}}'
    verified = run_bundle("verify", archive, "--digest", digest)
    assert (verified.returncode, verified.stdout) == (0, f"{digest}\n")
    assert f"{archive}: intact; gpu profile, " in verified.stderr
    targets = {f"s3://{s3}/crowd/1": "", f"{tmp_path}/claim": "", f"oci://{stand_in.address}/m:1": "--base=scratch"}
    for target, option in targets.items():
        pushed = run_bundle("push", archive, target, *filter(None, [option]))
        assert pushed.returncode == 0, pushed.stderr
        assert pushed.stdout.startswith(target.removesuffix(":1"))
        assert len(pushed.stdout.splitlines()) == 1
        address = pushed.stdout.strip()
        place = f"uri: {address}, " if "://" in address else ""
        assert pushed.stderr.splitlines()[-1] == f'storage: {{{place}digest: "{digest}"}}'


def test_a_pickle_is_pointed_out(bundle: Path, manifest: Manifest) -> None:
    (bundle / "vgg16" / "1" / "scene_classifier.joblib").write_bytes(b"x")
    (bundle / MANIFEST_FILE).unlink()
    files = describe_files(bundle)
    (bundle / MANIFEST_FILE).write_bytes(Manifest("1", "gpu", manifest.models, files).to_bytes())
    verified = run_bundle("verify", bundle)
    assert "note: vgg16/1/scene_classifier.joblib is a pickle, which the transformer" in verified.stderr


def test_damaged_bundle_is_reported_and_not_pushed(bundle: Path, tmp_path: Path) -> None:
    (bundle / "vgg16" / "config.pbtxt").write_text("damaged")
    for arguments in (("verify", bundle), ("push", bundle, tmp_path / "claim")):
        result = run_bundle(*arguments)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr.startswith(f"crowdserve: {bundle} is not what its manifest.json says:\n")
        assert "vgg16/config.pbtxt is changed: 7 bytes, expected " in result.stderr
    assert not (tmp_path / "claim").exists()


def test_unexpected_digest_is_refused(built: Path, manifest: Manifest) -> None:
    result = run_bundle("verify", built, "--digest", "sha256:0")
    assert (result.returncode, result.stdout) == (2, "")
    assert f"has the digest {manifest.digest}, expected sha256:0" in result.stderr


def test_unsupported_target_suggests_an_alternative(built: Path) -> None:
    result = run_bundle("push", built, "pvc://claim/models")
    assert (result.returncode, len(result.stderr.splitlines())) == (2, 1)
    assert "push to a folder of the claim in a pod that mounts it" in result.stderr
    mixed = run_bundle("push", built, "s3://bucket/prefix", "--base", "scratch")
    assert "are for oci:// targets" in mixed.stderr

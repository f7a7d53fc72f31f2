"""Registry logins come from the files and helpers of docker and podman."""

import json
from pathlib import Path

import pytest

from crowdserve.bundle.credentials import Credentials, find_credentials
from crowdserve.errors import BundleError


def write(folder: Path, config: object) -> dict[str, str]:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    return {"DOCKER_CONFIG": str(folder)}


def test_login_is_found_under_every_spelling_of_the_registry(tmp_path: Path) -> None:
    auths = {
        "ghcr.io": {"auth": "YTpi"},
        "https://x.io": {"auth": "YTpi"},
        "https://index.docker.io/v1/": {"auth": "YTpi"},
    }
    environment = write(tmp_path, {"auths": auths})
    for registry in ("ghcr.io", "x.io", "docker.io"):
        assert find_credentials(registry, environment) == Credentials("a", "b")
    assert find_credentials("quay.io", environment) is None


def test_podman_auth_file_takes_precedence(tmp_path: Path) -> None:
    environment = write(tmp_path / "docker", {"auths": {"x.io": {"auth": "YTpi"}}})
    (tmp_path / "auth.json").write_text(json.dumps({"auths": {"x.io": {"auth": "YzpkOmU="}}}))
    environment["REGISTRY_AUTH_FILE"] = str(tmp_path / "auth.json")
    assert find_credentials("x.io", environment) == Credentials("c", "d:e")


def test_login_is_optional(tmp_path: Path) -> None:
    assert find_credentials("x.io", {"DOCKER_CONFIG": str(tmp_path)}) is None


@pytest.mark.parametrize("config", [{"credHelpers": {"x.io": "test"}}, {"credsStore": "test", "auths": {"x.io": {}}}])
def test_credential_helper_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: dict[str, object]
) -> None:
    helper = tmp_path / "docker-credential-test"
    helper.write_text(
        "#!/bin/sh\nread -r server\n[ \"$1 $server\" = 'get x.io' ] || exit 1\n"
        'echo \'{"Username": "<token>", "Secret": "s"}\'\n'
    )
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    found = find_credentials("x.io", write(tmp_path, config))
    assert found == Credentials("<token>", "s")
    assert found.is_refresh_token
    assert "'s'" not in repr(found)
    assert find_credentials("y.io", write(tmp_path, {"credsStore": "test"})) is None


def test_missing_helper_and_broken_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"docker-credential-nowhere gave no credentials for x.io"):
        find_credentials("x.io", write(tmp_path, {"credsStore": "nowhere"}))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(BundleError, match=r"config.json cannot be read .*log in to x.io again"):
        find_credentials("x.io", {"DOCKER_CONFIG": str(tmp_path)})

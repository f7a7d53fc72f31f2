import pytest

from crowdserve.bundle.reference import parse_reference
from crowdserve.errors import BundleError

DIGEST = f"sha256:{'a' * 64}"


@pytest.mark.parametrize(
    ("text", "host", "repository", "version"),
    [
        ("oci://ghcr.io/me/models:1", "ghcr.io", "me/models", "1"),
        ("registry.example.com:5000/a/b/c:v1.2_x", "registry.example.com:5000", "a/b/c", "v1.2_x"),
        ("docker.io/busybox:1.37.0", "registry-1.docker.io", "library/busybox", "1.37.0"),
        ("docker.io/me/models:1", "registry-1.docker.io", "me/models", "1"),
        ("oci://[fd00::5]:5000/me/models:1", "[fd00::5]:5000", "me/models", "1"),
        ("[fd00::5]/models:1", "[fd00::5]", "models", "1"),
        (f"localhost/models@{DIGEST}", "localhost", "models", DIGEST),
        (f"localhost/models:1@{DIGEST}", "localhost", "models", DIGEST),
    ],
)
def test_reference_follows_docker_rules(text: str, host: str, repository: str, version: str) -> None:
    found = parse_reference(text)
    assert (found.host, found.repository, found.version) == (host, repository, version)
    assert parse_reference(str(found)) == found


@pytest.mark.parametrize(
    "text", ["models", "ghcr.io/me/models", "ghcr.io/Me/models:1", "ghcr.io/me/models:", "oci://", "https://x/y:1"]
)
def test_invalid_reference_is_refused(text: str) -> None:
    with pytest.raises(BundleError, match="expected REGISTRY/REPOSITORY:TAG"):
        parse_reference(text)


@pytest.mark.parametrize(
    ("registry", "local"),
    [
        ("localhost:5000", True), ("127.0.0.1:5000", True), ("[::1]:5000", True), ("[::1]", True), ("x.io", False),
        ("[fd00::5]:5000", False),
    ],
)  # fmt: skip
def test_only_a_local_registry_may_use_http(registry: str, local: bool) -> None:
    assert parse_reference(f"{registry}/m:1").is_local is local

"""Fixtures of the tests on a real cluster: `make cluster-test`. Elsewhere nothing of this folder is collected."""

import base64
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image

from tests.cluster.bundles import Bundles
from tests.cluster.kube import RESTRICTED, Namespace, run, until
from tests.cluster.load import TABLE
from tests.cluster.release import NAME, Release
from tests.cluster.settings import ClusterSettings, read_settings
from tests.support.paths import PHOTO

if not os.environ.get("CROWDSERVE_CLUSTER_TEST"):
    collect_ignore_glob = ["test_*.py"]

Made = dict[str, list[Release]]
SHOWN = "pods,inferenceservices,deployments,events"


@pytest.fixture(scope="session")
def settings() -> ClusterSettings:
    """The cluster; without KServe, a gateway and Prometheus there is nothing to test."""
    found = read_settings()
    kinds = run("kubectl", "api-resources", "--output", "name").stdout.split()
    for kind, what in (
        ("inferenceservices.serving.kserve.io", "KServe"),
        ("httproutes.gateway.networking.k8s.io", "Gateway API"),
        ("podmonitors.monitoring.coreos.com", "Prometheus operator"),
    ):
        assert kind in kinds, f"the cluster has no {what}: see docs/how-to/try-on-a-cluster.md"
    namespace, _, name = found.gateway.partition("/")
    run("kubectl", "--namespace", namespace, "get", "gateway", name)
    return found


KEDA, METRICS_SERVER = "scaledobjects.keda.sh", "pods.metrics.k8s.io"
"""Kinds that tell whether the cluster has it."""


def has(kind: str) -> bool:
    """Whether the cluster knows a kind."""
    return kind in run("kubectl", "api-resources", "--output", "name", check=False).stdout.split()


@pytest.fixture(scope="session")
def keda() -> None:
    """Skip without KEDA."""
    if not has(KEDA):
        pytest.skip("the cluster has no KEDA")


@pytest.fixture(scope="session")
def metrics_server() -> None:
    """Skip without metrics-server."""
    if not has(METRICS_SERVER):
        pytest.skip("the cluster has no metrics-server")


@pytest.fixture(scope="session")
def prometheus(settings: ClusterSettings) -> str:
    """URL of Prometheus, once it answers."""

    def ready() -> bool:
        try:
            return httpx.get(f"{settings.prometheus}/-/ready", trust_env=False).is_success
        except httpx.HTTPError:
            return False

    until(ready, f"Prometheus at {settings.prometheus} answers", 60)
    return settings.prometheus


@pytest.fixture(scope="session")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small photo of people: a large one would take two cores for seconds."""
    target = tmp_path_factory.mktemp("photo") / "photo.jpg"
    with Image.open(PHOTO) as image:
        image.resize((128, 96)).save(target, quality=90)
    return target


@pytest.fixture(scope="session")
def request_file(photo: Path) -> Path:
    """A request with that photo."""
    content = base64.b64encode(photo.read_bytes()).decode()
    target = photo.with_name("request.json")
    target.write_text(json.dumps({"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": [content]}]}))
    return target


@pytest.fixture(scope="session")
def bundles(settings: ClusterSettings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bundles]:
    """Bundles in the store; version 1 is there."""
    made = Bundles(settings, tmp_path_factory.mktemp("bundles"))
    made.push("1")
    yield made
    made.remove()


class Factory:
    """Makes releases in namespaces of their own, and removes them."""

    def __init__(self, settings: ClusterSettings, photo: Path, request: Path, test: str) -> None:
        self._parts = settings, photo, request
        self._test = test
        self.made: list[Release] = []

    def __call__(self, *, restricted: bool = True, inside: Namespace | None = None, name: str = NAME) -> Release:
        """A release that is not installed yet, in a new namespace or in one that is there."""
        settings, photo, request = self._parts
        namespace = inside or Namespace(f"crowdserve-test-{secrets.token_hex(3)}")
        if inside is None:
            namespace.create(RESTRICTED if restricted else {})
            namespace.apply(_store_secret(settings))
        release = Release(namespace, settings, photo, request, self._test, name)
        self.made.append(release)
        return release

    def remove(self) -> None:
        """Remove what was made, without waiting for pods."""
        for release in self.made:
            release.namespace.helm("uninstall", release.name, "--ignore-not-found", check=False)
            release.namespace.delete()


def _store_secret(settings: ClusterSettings) -> dict[str, object]:
    endpoint = httpx.URL(settings.s3_endpoint)
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "models-s3",
            "annotations": {
                "serving.kserve.io/s3-endpoint": f"{endpoint.host}:{endpoint.port or 80}",
                "serving.kserve.io/s3-region": "us-east-1",
                "serving.kserve.io/s3-usehttps": "1" if endpoint.scheme == "https" else "0",
            },
        },
        "stringData": {"AWS_ACCESS_KEY_ID": settings.s3_key, "AWS_SECRET_ACCESS_KEY": settings.s3_secret},
    }


@pytest.fixture
def make_release(
    settings: ClusterSettings, photo: Path, request_file: Path, bundles: Bundles, request: pytest.FixtureRequest
) -> Iterator[Factory]:
    """Makes releases for one test."""
    factory = Factory(settings, photo, request_file, request.node.name)
    yield factory
    factory.remove()


@pytest.fixture(scope="module")
def shared(
    settings: ClusterSettings, photo: Path, request_file: Path, bundles: Bundles, request: pytest.FixtureRequest
) -> Iterator[Factory]:
    """Makes releases for all tests of a module."""
    factory = Factory(settings, photo, request_file, "")
    yield factory
    factory.remove()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Show the namespaces of a test that failed."""
    report = yield
    if call.when == "call" and call.excinfo is not None and not call.excinfo.errisinstance(pytest.skip.Exception):
        factories = [each for each in getattr(item, "funcargs", {}).values() if isinstance(each, Factory)]
        releases = [each for each in getattr(item, "funcargs", {}).values() if isinstance(each, Release)]
        for release in {id(each): each for each in [*releases, *(r for f in factories for r in f.made)]}.values():
            shown = release.namespace.kubectl("get", SHOWN, "--sort-by=.metadata.creationTimestamp", check=False)
            report.sections.append((f"namespace {release.namespace.name}", shown.stdout + shown.stderr))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table of lost requests."""
    if TABLE:
        terminalreporter.section("requests under load")
        width = max(len(f"{row.test}: {row.what}") for row in TABLE)
        for row in TABLE:
            text = f"{row.test}: {row.what}"
            terminalreporter.write_line(
                f"{text:<{width}}  {row.requests:5d} requests  {row.lost:3d} lost  p95 {row.p95:.2f} s"
            )
        terminalreporter.write_line(
            f"{'all':<{width}}  {sum(r.requests for r in TABLE):5d} requests  {sum(r.lost for r in TABLE):3d} lost"
        )

"""Pytest plugin: fixtures of a release in the stand-ins for the API server, Prometheus and the gateway."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.cluster.api_server import ApiServer
from tests.support.cluster.cluster_objects import controller, knative_release, standard_release
from tests.support.cluster.gateway import Gateway
from tests.support.cluster.prometheus_server import PrometheusServer
from tests.support.cluster.world import PODS, World, kubeconfig, write_golden


@pytest.fixture
def kubernetes_api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    """An empty API server; KUBECONFIG points to it."""
    with ApiServer() as api:
        path = tmp_path / "kubeconfig"
        path.write_text(yaml.safe_dump(kubeconfig(api.url)))
        monkeypatch.setenv("KUBECONFIG", str(path))
        monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(path))
        yield api


@pytest.fixture
def make_world(kubernetes_api: ApiServer, tmp_path: Path) -> Iterator[Callable[..., World]]:
    """`make_world(install)`: a world around a release in either mode."""
    with PrometheusServer() as prometheus:
        gateways: list[Gateway] = []

        def make(install: Callable[[ApiServer], None]) -> World:
            install(kubernetes_api)
            kubernetes_api.on_change.append(controller(kubernetes_api))
            gateway = Gateway(
                lambda: kubernetes_api.read("httproutes", "crowd"),
                lambda service: prometheus.observe(PODS.get(service, service), 1),
            )
            gateway.pods = dict(PODS)
            gateways.append(gateway.__enter__())
            world = World(kubernetes_api, prometheus, gateway, write_golden(tmp_path / "golden", gateway))
            kubernetes_api.on_change.append(world.serve_traffic)
            return world

        yield make
        for gateway in gateways:
            gateway.__exit__()


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """A release in Standard mode."""
    return make_world(standard_release)


@pytest.fixture
def knative_world(make_world: Callable[..., World]) -> World:
    """A release in Knative mode."""
    return make_world(knative_release)

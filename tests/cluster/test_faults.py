"""Faults of the bundle, the store and the pods: nothing pretends to be ready, and the reason can be found."""

import base64
import io
import json
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.cluster.bundles import Bundles
from tests.cluster.conftest import Factory
from tests.cluster.kube import until
from tests.cluster.release import Release, Values
from tests.cluster.settings import ClusterSettings

NO_ROUTE: Values = {"route": {"enabled": False, "grpc": {"enabled": False}}}
MODES = ("collocated", "standalone")
FAULTS = {
    "without a file": "csrnet_b/1/model.onnx is missing",
    "with a changed file": "csrnet_b/1/model.onnx is changed",
    "at no address": "Failed to fetch model",
}
"""What a log says of each kind of broken bundle."""


@pytest.fixture(scope="module")
def broken(shared: Factory, bundles: Bundles) -> dict[tuple[str, str], Release]:
    """Releases with broken bundles, all at once: each waits for its download."""
    addresses = {
        "without a file": bundles.push_without_file("incomplete"),
        "with a changed file": bundles.push_with_changed_file("changed"),
        "at no address": bundles.address("nowhere"),
    }
    made = {(fault, mode): shared() for fault in FAULTS for mode in MODES}
    for (fault, mode), release in made.items():
        release.install({**NO_ROUTE, "storage": {"uri": addresses[fault]}, "transformer": {"mode": mode}})
    return made


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("fault", FAULTS)
def test_broken_bundle_is_never_ready_and_a_log_says_why(
    broken: dict[tuple[str, str], Release], fault: str, mode: str
) -> None:
    release = broken[fault, mode]
    found = until(lambda: logs_with(release, FAULTS[fault]), f"a log says {FAULTS[fault]!r}", 120, 2)
    assert "Traceback" not in found or fault == "at no address", found  # KServe's own program says it with one
    until(lambda: has_ended(release), "a container has ended", 60)
    for _ in range(3):
        assert not release.is_ready()
        time.sleep(1)
    release.namespace.helm("uninstall", release.name)


def has_ended(release: Release) -> bool:
    """Whether a container of the release has ended with an error."""
    pods = release.namespace.all("pods", f"app.kubernetes.io/instance={release.name}")
    states = [
        each.get(which, {}).get("terminated") or {}
        for pod in pods
        for kind in ("initContainerStatuses", "containerStatuses")
        for each in pod["status"].get(kind, [])
        for which in ("state", "lastState")
    ]
    return any(state.get("exitCode") for state in states)


def logs_with(release: Release, text: str) -> str:
    """A log of the release's pods that has a text, init containers and earlier runs included; empty if none has."""
    for pod in release.namespace.all("pods", f"app.kubernetes.io/instance={release.name}"):
        spec = pod["spec"]
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            for earlier in ([], ["--previous"]):
                options = ["--container", container["name"], "--tail", "60", *earlier]
                found = release.namespace.kubectl("logs", pod["metadata"]["name"], *options, check=False).stdout
                if text in found:
                    return found
    return ""


def test_store_is_away_at_the_start_and_while_scaling_up(make_release: Factory, settings: ClusterSettings) -> None:
    """The pod waits and comes once the store is back; replicas that run go on."""
    release = make_release()
    with settings.stopped("store"):
        release.install()
        time.sleep(20)
        assert not release.is_ready()
    release.wait_ready(240)
    assert release.count() > 0
    release.await_answers()
    with release.load("REST, the store is away") as rest:
        with settings.stopped("store"):
            release.upgrade({"replicas": 2})
            time.sleep(10)
            assert len(release.pod_names()) == 1
        release.await_pods(2, seconds=240)
    assert rest.result.lost == []


def test_worst_photos_at_once_stay_within_the_memory_limit(make_release: Factory) -> None:
    """Four photos that once took a gigabyte each, in a container of 700 MiB, which goes on.

    They are large, and a cluster without GPUs may take too long for them.
    """
    release = make_release()
    release.install({"transformer": {"resources": {"limits": {"cpu": "1", "memory": "700Mi"}}}})
    release.wait_ready()
    release.await_answers()
    (pod,) = release.pod_names()
    body = request_of(float_tiff(6000, 5000))
    with ThreadPoolExecutor(4) as threads:
        statuses = list(threads.map(lambda _: post(release, body), range(4)))
    assert set(statuses) <= {200, 503}
    release.await_answers()
    assert release.send("REST, afterwards", 10).lost == []
    assert release.pod_names() == [pod]
    assert restarts(release, pod) == 0


def restarts(release: Release, pod: str) -> int:
    """How often containers of a pod were started again."""
    found = release.namespace.get("pod", pod) or {}
    return sum(each["restartCount"] for each in found["status"]["containerStatuses"])


def float_tiff(width: int, height: int) -> bytes:
    """A TIFF of one value in 32-bit floats: small as a file, four bytes per pixel and more once it is read."""
    file = io.BytesIO()
    Image.fromarray(np.full((height, width), 0.5, np.float32)).save(
        file, format="TIFF", compression="tiff_adobe_deflate"
    )
    return file.getvalue()


def request_of(photo: bytes) -> bytes:
    """A request with a photo, JSON."""
    content = base64.b64encode(photo).decode()
    return json.dumps({"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": [content]}]}).encode()


def post(release: Release, body: bytes) -> int:
    """Send a request; returns the status of its answer."""
    url = f"http://{release.settings.gateway_address}/v2/models/crowdserve/infer"
    headers = {"host": release.settings.host, "content-type": "application/json"}
    return httpx.post(url, content=body, headers=headers, timeout=120, trust_env=False).status_code

"""What else KServe has in front of a service: its InferenceGraph, its logger, and probes as Knative sets them."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.conftest import Factory
from tests.cluster.helpers import PORT, serve
from tests.cluster.kube import Namespace, Object, until
from tests.cluster.load import PodLoad
from tests.cluster.release import NAME, Release, Values, outputs
from tests.cluster.settings import ClusterSettings
from tests.support.rendering import Chart

NO_ROUTE: Values = {"route": {"enabled": False, "grpc": {"enabled": False}}}
GRAPH = "graph"


def skip_without_image(namespace: Namespace, selector: str, what: str) -> None:
    """Skip where the nodes cannot get an image of KServe's own."""
    for pod in namespace.all("pods", selector):
        for container in pod["status"].get("containerStatuses", []):
            reason = container["state"].get("waiting", {}).get("reason", "")
            if reason in {"ErrImagePull", "ImagePullBackOff"}:
                pytest.skip(f"the nodes cannot get the image of KServe's {what}, {container['image']}")


@pytest.mark.parametrize("mode", ["collocated", "standalone"])
def test_an_inference_graph_reaches_it_by_the_name_of_its_service(
    make_release: Factory, request_file: Path, mode: str
) -> None:
    """KServe makes the path of a step from the InferenceService's name. Its router's pods are not restricted enough."""
    release = make_release(restricted=False)
    release.install({**NO_ROUTE, "transformer": {"mode": mode}})
    release.wait_ready()
    count = release.count("predictor" if mode == "collocated" else "transformer")
    namespace = release.namespace
    graph = {
        "apiVersion": "serving.kserve.io/v1alpha1",
        "kind": "InferenceGraph",
        "metadata": {"name": GRAPH, "annotations": {"serving.kserve.io/deploymentMode": "Standard"}},
        "spec": {"nodes": {"root": {"routerType": "Sequence", "steps": [{"serviceName": NAME}]}}},
    }
    namespace.apply(graph)

    def runs() -> bool:
        skip_without_image(namespace, f"serving.kserve.io/inferencegraph={GRAPH}", "router")
        found = namespace.get("deployment", GRAPH) or {}
        return bool(found.get("status", {}).get("readyReplicas"))

    until(runs, "KServe's router is ready", 90)
    reply = until(lambda: _asked(namespace, request_file), "the graph has a pod", 20)
    assert outputs(reply)["count"] == count
    assert json.loads(reply)["model_name"] == NAME


def _asked(namespace: Namespace, request_file: Path) -> str:
    done = namespace.raw(f"services/{GRAPH}:80/proxy/", request_file, check=False)
    assert done.returncode == 0 or "no endpoints available" in done.stderr, done.stderr
    return done.stdout


def test_kserves_logger_tells_a_sink_of_every_request_and_answer(
    make_release: Factory, settings: ClusterSettings
) -> None:
    release = make_release()
    serve(release.namespace, settings, "sink", Path(__file__).with_name("sink_script.py"), [str(PORT)])
    url = f"http://sink.{release.namespace.name}.svc:{PORT}/"
    release.install({**NO_ROUTE, "logger": {"enabled": True, "url": url, "metadataHeaders": ["x-request-id"]}})
    selector = f"app.kubernetes.io/instance={NAME},component=predictor"

    def runs() -> bool:
        skip_without_image(release.namespace, selector, "agent")
        return release.is_ready()

    until(runs, "the release is ready", 180)
    counts = [release.count() for _ in range(4)]
    told = until(lambda: _events(release, at_least=8), "every request and answer is told", 30)
    kinds = {"request": [], "response": []}
    for event in told:
        kinds[event["headers"]["ce-type"].rpartition(".")[2]].append(event)
    pairs = {event["headers"]["ce-id"]: event for event in kinds["response"]}
    assert len(pairs) == len(kinds["request"]) == 4
    for event in kinds["request"]:
        assert json.loads(event["body"])["inputs"][0]["name"] == "image"
        assert outputs(pairs[event["headers"]["ce-id"]]["body"])["count"] in counts
        assert event["headers"]["ce-inferenceservicename"] == NAME
    # gRPC has a port of its own, which the agent is not on.
    inside = PodLoad(release, "gRPC beside KServe's agent", f"{NAME}-predictor:8081", 20)
    inside.start()
    direct = inside.finish()
    assert direct.requests >= 1
    assert direct.lost == []
    assert len(_events(release, at_least=8)) == 8


def _events(release: Release, at_least: int) -> list[dict[str, Any]]:
    lines = release.namespace.kubectl("logs", "sink").stdout.splitlines()
    found = [json.loads(line) for line in lines]
    return found if len(found) >= at_least else []


def test_probes_of_knative_find_a_transformer_ready_and_alive(make_release: Factory, chart: Chart) -> None:
    """Kubelet runs what the chart gives Knative, over HTTP and gRPC, on copies of a standalone transformer's pod."""
    release = make_release()
    release.install({**NO_ROUTE, "transformer": {"mode": "standalone"}})
    release.wait_ready()
    (pod,) = release.pods("transformer")
    for base in ("knative", "knative-grpc"):
        rendered = chart.render(base).transformer()
        release.namespace.apply(_with_probes(pod, base, rendered))
    for base in ("knative", "knative-grpc"):
        release.namespace.kubectl("wait", "--for=condition=Ready", f"pod/{base}", "--timeout=120s", seconds=130)
    release.namespace.helm("uninstall", NAME)
    for base in ("knative", "knative-grpc"):
        release.namespace.kubectl("wait", "--for=condition=Ready=false", f"pod/{base}", "--timeout=90s")
    time.sleep(35)  # three tries of liveness and more
    for base in ("knative", "knative-grpc"):
        found = release.namespace.get("pod", base)
        assert found is not None
        (status,) = found["status"]["containerStatuses"]
        assert status["restartCount"] == 0, "its liveness follows Triton"


def _with_probes(pod: Object, name: str, rendered: Object) -> Object:
    """A copy of a pod with the probes of another container, sooner; KServe and Services do not know it."""
    spec = {key: value for key, value in pod["spec"].items() if key not in {"nodeName", "serviceAccount"}}
    (container,) = spec["containers"]
    kept = {key: value for key, value in container.items() if not key.endswith("Probe")}
    probes = {key: {**rendered[key], "initialDelaySeconds": 10} for key in ("readinessProbe", "livenessProbe")}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {**spec, "containers": [kept | probes]},
    }

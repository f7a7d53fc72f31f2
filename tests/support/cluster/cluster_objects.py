"""The objects of a release as the chart renders them, and a controller that acts as KServe."""

from collections.abc import Callable

from tests.support.cluster.api_server import ApiServer, Key

SOURCE = "internal.serving.kserve.io/storage-initializer-sourceuri"
TESTERS = "known-to-testers-alone"
OLD, NEW = "s3://models/v1", "s3://models/v2"
IMAGE = "ghcr.io/crowdserve/transformer:1.0.0"


def inference_service(name: str, track: str, storage_uri: str, *, mode: str = "Standard", image: str = IMAGE) -> dict:
    return {
        "metadata": {
            "name": name,
            "labels": {"app.kubernetes.io/instance": "crowd", "crowdserve.io/track": track},
            "annotations": {"serving.kserve.io/deploymentMode": mode},
        },
        "spec": {
            "predictor": {
                "model": {
                    "modelFormat": {"name": "triton"},
                    "runtime": name,
                    "storageUri": storage_uri,
                },
                "containers": [
                    {
                        "name": "transformer-container",
                        "image": image,
                        "args": ["--model_name", "crowdserve", "--http_port", "8080", "--grpc_port", "8081"],
                        "env": [{"name": "A", "value": "b"}, {"name": "STORAGE_URI", "value": storage_uri}],
                    }
                ],
            }
        },
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }


def route(name: str, *, weights: tuple[int, int] = (100, 0), tester: bool = True) -> dict:
    stable, canary = "crowd-predictor", "crowd-canary-predictor"
    header = {"name": "x-crowdserve-track", "value": TESTERS, "type": "Exact"}
    paths = [{"type": "PathPrefix", "value": path} for path in ("/v1", "/v2")]
    alone = {
        "matches": [{"headers": [header], "path": path} for path in paths],
        "backendRefs": [{"name": canary, "port": 80}],
    }
    split = {
        "matches": [{"path": path} for path in paths],
        "backendRefs": [
            {"name": stable, "port": 80, "weight": weights[0]},
            {"name": canary, "port": 80, "weight": weights[1]},
        ],
    }
    labels = {"app.kubernetes.io/instance": "crowd"}
    return {"metadata": {"name": name, "labels": labels}, "spec": {"rules": [*([alone] if tester else []), split]}}


def standard_release(api: ApiServer) -> None:
    """A release in Standard mode whose canary runs the version of stable, and its Deployments."""
    api.create("inferenceservices", inference_service("crowd", "stable", OLD))
    api.create("inferenceservices", inference_service("crowd-canary", "canary", OLD))
    api.create("httproutes", route("crowd"))
    api.create("grpcroutes", route("crowd-grpc", tester=False))
    for name in ("crowd", "crowd-canary"):
        api.create("deployments", {"metadata": {"name": f"{name}-predictor"}, "spec": {"replicas": 2}, "status": {}})
        reconcile(api, name)


def knative_release(api: ApiServer) -> None:
    """A release in Knative mode: one InferenceService whose revisions are the tracks."""
    api.create("inferenceservices", inference_service("crowd", "stable", OLD, mode="Knative"))
    container = {"image": "triton", "args": ["/bin/sh", "-c", "digest=${CROWDSERVE_BUNDLE_DIGEST-}"]}
    api.create("servingruntimes", {"metadata": {"name": "crowd"}, "spec": {"containers": [container]}})
    reconcile_revisions(api, "crowd")


def reconcile(api: ApiServer, name: str, *, available: int = 2) -> None:
    """Update the Deployment of an InferenceService to its spec."""
    service = api.read("inferenceservices", name)
    predictor, copied = service["spec"]["predictor"], service["metadata"]["annotations"]

    def change(deployment: dict) -> None:
        deployment["spec"]["template"] = {
            "metadata": {"annotations": {**copied, SOURCE: predictor["model"]["storageUri"]}},
            "spec": {"containers": [{"name": "kserve-container", "image": "triton"}, *predictor["containers"]]},
        }

    api.change("deployments", f"{name}-predictor", change)
    set_status(api, f"{name}-predictor", available=available)


def set_status(api: ApiServer, name: str, *, available: int, updated: int = 2, replicas: int = 2) -> None:
    """Set the status of a Deployment whose controller has seen its last change."""
    status = {"replicas": replicas, "updatedReplicas": updated, "availableReplicas": available}

    def change(deployment: dict) -> None:
        deployment["status"] = {**status, "observedGeneration": deployment["metadata"]["generation"]}

    api.change("deployments", name, change)


def reconcile_revisions(api: ApiServer, name: str) -> None:
    """Create a revision for a new spec, and split the traffic as KServe does."""

    def change(service: dict) -> None:
        predictor, status = service["spec"]["predictor"], service["status"]
        known = status.setdefault("components", {}).setdefault("predictor", {})
        template = [predictor["model"]["storageUri"], service["metadata"]["annotations"]]
        if known.get("template") != template:
            number = int(known.get("latestReadyRevision", "-00000")[-5:]) + 1
            known.update(template=template, latestReadyRevision=f"{name}-predictor-{number:05}")
            known["latestCreatedRevision"] = known["latestReadyRevision"]
        percent = predictor.get("canaryTrafficPercent")
        latest = {"latestRevision": True, "revisionName": known["latestReadyRevision"], "url": known.get("latestUrl")}
        if percent is None or percent == 100 or "latestRolledoutRevision" not in known:
            known["latestRolledoutRevision"] = known["latestReadyRevision"]
            known["traffic"] = [{**latest, "percent": 100}]
        else:
            earlier = {"revisionName": known["latestRolledoutRevision"], "tag": "prev", "url": known.get("prevUrl")}
            known["traffic"] = [{**latest, "percent": percent}, {**earlier, "percent": 100 - percent}]
        status["observedGeneration"] = service["metadata"]["generation"]

    api.change("inferenceservices", name, change)


def controller(api: ApiServer) -> Callable[[Key], None]:
    """A controller of both modes, for `ApiServer.on_change`."""

    def act(key: Key) -> None:
        plural, namespace, name = key
        if plural == "inferenceservices" and namespace == "demo":
            mode = api.read(plural, name)["metadata"]["annotations"]["serving.kserve.io/deploymentMode"]
            (reconcile_revisions if mode == "Knative" else reconcile)(api, name)

    return act

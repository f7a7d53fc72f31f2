"""An InferenceService of a release: its version, readiness and pod names."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from crowdserve.cards import MODEL_NAME
from crowdserve.rollout.cluster import Cluster
from crowdserve.rollout.resources import (
    DEPLOYMENT,
    INFERENCE_SERVICE,
    SERVING_RUNTIME,
    SOURCE_ANNOTATION,
    Object,
    Patch,
    annotations,
    patch_of,
)
from crowdserve.rollout.state import Version

_MODE = "serving.kserve.io/deploymentMode"
_SOURCE = "internal.serving.kserve.io/storage-initializer-sourceuri"
_STORAGE_PATH = "/spec/predictor/model/storageUri"
DIGEST_VARIABLE = "CROWDSERVE_BUNDLE_DIGEST"
_MODEL_FLAGS = "--model_name", "--model-name"
_POD = "-[a-z0-9]+(-[a-z0-9]+)?"
"""Suffix that Kubernetes appends to a Deployment's name; one part less where it cut a long name."""


@dataclass(frozen=True, slots=True)
class Workload:
    """An InferenceService, as it was read.

    Attributes:
        found: The object as JSON.
    """

    found: Object

    @property
    def name(self) -> str:
        """Name of the InferenceService."""
        return str(self.found["metadata"]["name"])

    @property
    def knative(self) -> bool:
        """Whether KServe runs it in Knative mode, called Serverless in older releases."""
        mode = annotations(self.found).get(_MODE) or self.found.get("status", {}).get("deploymentMode", "")
        return mode in {"Knative", "Serverless"}

    @property
    def components(self) -> list[str]:
        """The parts that have pods of their own; the last one answers requests."""
        return ["predictor", *(["transformer"] if self.found["spec"].get("transformer") else [])]

    @property
    def front(self) -> str:
        """Name of the Service and the Deployment that answer requests."""
        return f"{self.name}-{self.components[-1]}"

    @property
    def pods(self) -> str:
        """Regular expression of the names of the pods that answer requests, in Standard mode."""
        return self.front + _POD

    @property
    def version(self) -> Version:
        """Version that it is set to run."""
        image, digests = self._image(), [value for _, value in self._variables(DIGEST_VARIABLE)]
        uri = self.found["spec"]["predictor"].get("model", {}).get("storageUri")
        return Version(uri, image and image[1], next(filter(None, digests), None))

    @property
    def model(self) -> str:
        """Name of the model in every URL, from the transformer's flags."""
        words: list[str] = [word for _, each in self._transformer() for word in each.get("args", [])]
        for word, after in pairwise([*words, ""]):
            flag, _, value = word.partition("=")
            if flag in _MODEL_FLAGS:
                return value or after
        return MODEL_NAME

    def run(self, version: Version) -> Patch | None:
        """The patch that makes it run a version; None if it is set to already. Parts that are None stay.

        It holds no record: KServe copies an InferenceService's annotations to its pods, so that each change would
        replace them all.
        """
        operations = self.change(version)
        return patch_of(INFERENCE_SERVICE, self.found, operations) if operations else None

    def change(self, version: Version) -> list[Object]:
        """Operations that change its version."""
        operations, moves = [], version.storage_uri not in (None, self.version.storage_uri)
        if moves:
            operations.append({"op": "add", "path": _STORAGE_PATH, "value": version.storage_uri})
            uri, found = version.storage_uri, self._variables("STORAGE_URI")
            operations += [{"op": "replace", "path": f"{path}/value", "value": uri} for path, _ in found]
        image = self._image()
        if version.image and image and version.image != image[1]:
            operations.append({"op": "replace", "path": image[0], "value": version.image})
        if (moves or version.digest) and version.digest != self.version.digest:  # it is of one bundle, and goes with it
            operations += [{"op": "remove", "path": path} for path, _ in self._variables(DIGEST_VARIABLE)]
            operations += self._pin(version.digest) if version.digest else []
        return operations

    def _pin(self, digest: str) -> list[Object]:
        """Operations that give Triton and the transformer a digest, where they have none."""
        variable = {"name": DIGEST_VARIABLE, "value": digest}
        return [
            {"op": "add", "path": f"{path}/env/-", "value": variable}
            if each.get("env")
            else {"op": "add", "path": f"{path}/env", "value": [variable]}
            for path, each in self._readers()
        ]

    def _image(self) -> tuple[str, str] | None:
        """JSON pointer and value of the transformer's image."""
        return next(((f"{path}/image", str(each["image"])) for path, each in self._transformer()), None)

    def _variables(self, name: str) -> list[tuple[str, str]]:
        """JSON pointers and values of a variable of Triton and of the transformer.

        STORAGE_URI is the one by which KServe gives the models to the transformer as well.
        """
        return [
            (f"{path}/env/{k}", str(variable["value"]))
            for path, each in self._readers()
            for k, variable in enumerate(each.get("env") or [])
            if variable["name"] == name and "value" in variable
        ]

    def _readers(self) -> list[tuple[str, Object]]:
        """JSON pointers and values of the containers that read the models, Triton's as far as it is here."""
        triton: Object = self.found["spec"]["predictor"].get("model", {})
        return [("/spec/predictor/model", triton), *self._transformer()]

    def _transformer(self) -> Iterator[tuple[str, Object]]:
        """JSON pointer and value of the transformer's container, in the component that has it."""
        for component, container in (("predictor", "transformer-container"), ("transformer", "kserve-container")):
            for i, each in enumerate((self.found["spec"].get(component) or {}).get("containers", [])):
                if each["name"] == container:
                    yield f"/spec/{component}/containers/{i}", each


def unready(cluster: Cluster, workload: Workload, *, whole: bool = False) -> str | None:
    """The reason why a track is not ready; None if it is.

    In Standard mode only the Deployments tell: KServe's Ready stays true while one is being replaced and is false while
    one scales up, and with a standalone transformer its observedGeneration stays behind (seen with KServe 0.20).

    Args:
        cluster: The cluster that runs it.
        workload: The track's InferenceService, as it was read.
        whole: Whether every replica must be available, not only one.
    """
    if workload.knative:
        return _revision_unready(workload)
    for component in workload.components:
        reason = _deployment_unready(cluster, workload, component, whole)
        if reason:
            return reason
    return None


def available_replicas(cluster: Cluster, workload: Workload) -> dict[str, int]:
    """Replicas that answer, by component, in Standard mode."""
    found = {each: cluster.get(DEPLOYMENT, f"{workload.name}-{each}") or {} for each in workload.components}
    return {each: deployment.get("status", {}).get("availableReplicas", 0) for each, deployment in found.items()}


def serving_runtime(cluster: Cluster, workload: Workload) -> Object | None:
    """The ServingRuntime that a workload names; None if it names none of its namespace."""
    name = workload.found["spec"]["predictor"].get("model", {}).get("runtime")
    return cluster.get(SERVING_RUNTIME, name) if name else None


def triton_image(cluster: Cluster, workload: Workload) -> str | None:
    """The image of a workload's Triton; None if it has no ServingRuntime."""
    runtime = serving_runtime(cluster, workload)
    return str(runtime["spec"]["containers"][0]["image"]) if runtime else None


def compares_digests(cluster: Cluster, workload: Workload) -> bool:
    """Whether a workload's Triton compares its models with a digest; older charts do not, nor with verifyBundle off."""
    runtime = serving_runtime(cluster, workload)
    return runtime is None or DIGEST_VARIABLE in json.dumps(runtime["spec"]["containers"])


def built_from(cluster: Cluster, workload: Workload) -> str | None:
    """The bundle from which a plan builder made a workload's models; None without a plan builder."""
    runtime = serving_runtime(cluster, workload)
    return annotations(runtime).get(SOURCE_ANNOTATION) if runtime else None


def _ready_condition(workload: Workload) -> Object:
    conditions = workload.found.get("status", {}).get("conditions", [])
    return next((each for each in conditions if each["type"] == "Ready"), {})


def _because(condition: Object) -> str:
    text = condition.get("message") or condition.get("reason")
    return f" ({text})" if text and condition.get("status") != "True" else ""


def _revision_unready(workload: Workload) -> str | None:
    ready, status = _ready_condition(workload), workload.found.get("status", {})
    if ready.get("status") != "True":
        return f"{workload.name} is not ready{_because(ready)}"
    if status.get("observedGeneration", 0) < workload.found["metadata"].get("generation", 0):
        return f"{workload.name}: KServe has not seen its last change yet"
    predictor = workload.found.get("status", {}).get("components", {}).get("predictor", {})
    created, ready = predictor.get("latestCreatedRevision"), predictor.get("latestReadyRevision")
    return None if created == ready else f"revision {created} is not ready, {ready} still is the latest that is"


def _deployment_unready(cluster: Cluster, workload: Workload, component: str, whole: bool) -> str | None:
    name = f"{workload.name}-{component}"
    found = cluster.get(DEPLOYMENT, name)
    if found is None:
        return f"Deployment {name} does not exist yet{_because(_ready_condition(workload))}"
    if _template_differs(found, workload, component):
        return f"Deployment {name} does not have the new version yet"
    status, wanted = found.get("status", {}), found["spec"].get("replicas", 1)
    if status.get("observedGeneration", 0) < found["metadata"].get("generation", 0):
        return f"Deployment {name} has not begun its last change yet"
    if status.get("replicas", 0) != status.get("updatedReplicas", 0):
        return f"Deployment {name} still has pods of an earlier version"
    available = status.get("availableReplicas", 0)
    if available < (wanted if whole else 1):
        return f"Deployment {name} has {available} of {wanted} replicas available"
    return None


def _template_differs(deployment: Object, workload: Workload, component: str) -> bool:
    template = deployment["spec"]["template"]
    version = workload.version
    source = (template.get("metadata", {}).get("annotations") or {}).get(_SOURCE)
    if source and version.storage_uri and source != version.storage_uri:
        return True
    images = {each["image"] for each in template["spec"]["containers"]}
    return component == workload.components[-1] and version.image is not None and version.image not in images

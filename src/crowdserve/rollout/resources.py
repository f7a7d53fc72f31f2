"""Kinds, labels and patches: the vocabulary shared by rollout and API server."""

import json
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]
"""A Kubernetes object as JSON."""

RELEASE_LABEL = "app.kubernetes.io/instance"
TRACK_LABEL = "crowdserve.io/track"
RECORD_ANNOTATION = "crowdserve.io/rollout"
SOURCE_ANNOTATION = "crowdserve.io/models-source"
"""Annotation of a ServingRuntime: the bundle from which a plan builder made the models."""
STABLE, CANARY = "stable", "canary"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object.

    Attributes:
        title: Name as in `kind:`.
        group: API group.
        version: API version of the group.
        plural: Name as in the URL.
    """

    title: str
    group: str
    version: str
    plural: str


INFERENCE_SERVICE = Kind("InferenceService", "serving.kserve.io", "v1beta1", "inferenceservices")
HTTP_ROUTE = Kind("HTTPRoute", "gateway.networking.k8s.io", "v1", "httproutes")
GRPC_ROUTE = Kind("GRPCRoute", "gateway.networking.k8s.io", "v1", "grpcroutes")
SERVING_RUNTIME = Kind("ServingRuntime", "serving.kserve.io", "v1alpha1", "servingruntimes")
DEPLOYMENT = Kind("Deployment", "apps", "v1", "deployments")


@dataclass(frozen=True, slots=True)
class Patch:
    """A JSON patch (RFC 6902) of one object at one resource version.

    Attributes:
        kind: Kind of the object.
        name: Name of the object.
        resource_version: Version that was read; the server answers 409 if the object has another.
        operations: Operations of the JSON patch.
    """

    kind: Kind
    name: str
    resource_version: str
    operations: tuple[Object, ...]

    @property
    def body(self) -> list[Object]:
        """The JSON patch with its precondition: the server refuses it at another resource version."""
        precondition = {"op": "replace", "path": "/metadata/resourceVersion", "value": self.resource_version}
        return [precondition, *self.operations]

    def __str__(self) -> str:
        lines = [f"{self.kind.title} {self.name}", *(json.dumps(operation) for operation in self.body)]
        return "\n  ".join(lines)


def patch_of(kind: Kind, found: Object, operations: list[Object]) -> Patch:
    """A patch of an object as it was read."""
    return Patch(kind, found["metadata"]["name"], found["metadata"]["resourceVersion"], tuple(operations))


def set_annotation(found: Object, name: str, value: str) -> list[Object]:
    """Operations that set an annotation, whether or not the object has any."""
    escaped = name.replace("~", "~0").replace("/", "~1")
    missing = [] if annotations(found) else [{"op": "add", "path": "/metadata/annotations", "value": {}}]
    return [*missing, {"op": "add", "path": f"/metadata/annotations/{escaped}", "value": value}]


def annotations(found: Object) -> dict[str, str]:
    """The annotations of an object."""
    return found["metadata"].get("annotations") or {}

"""HTTP header names shared by client and transformer."""

from collections.abc import Mapping

JSON_LENGTH_HEADER = "inference-header-content-length"
"""Length of the JSON part of a body whose tensors follow in binary form."""

POD_HEADER = "x-crowdserve-pod"
"""The response header that names the serving pod; a rollout uses it to tell stable from canary."""

TRACK_HEADER = "x-crowdserve-track"
"""The request header by which testers reach one track of a rollout; metrics tell their requests from the public's."""


def pod_name(environment: Mapping[str, str]) -> str | None:
    """Name of the pod that a process runs in, which is its host name; None outside Kubernetes."""
    return environment.get("HOSTNAME") if "KUBERNETES_SERVICE_HOST" in environment else None

"""Who answered: in Kubernetes every answer over REST names its pod, by which a rollout tells the tracks apart."""

from collections.abc import Mapping

POD_HEADER = "x-crowdserve-pod"


def pod_name(environment: Mapping[str, str]) -> str | None:
    """Name of the pod that a process runs in, which is its host name; None outside of Kubernetes."""
    return environment.get("HOSTNAME") if "KUBERNETES_SERVICE_HOST" in environment else None

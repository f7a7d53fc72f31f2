"""Pods of the tests' own beside a release: cameras, a taker of events."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.cluster.kube import Namespace
from tests.cluster.settings import ClusterSettings

PORT = 8000
_SECURITY = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def serve(
    namespace: Namespace,
    settings: ClusterSettings,
    name: str,
    script: Path,
    arguments: Sequence[str],
    files: Mapping[str, bytes] | None = None,
) -> None:
    """Run a script in a pod with a Service, both of one name and on `PORT`; waits until a GET is answered.

    Args:
        namespace: Where.
        settings: The cluster; the transformer's image runs the script.
        name: Of pod, Service and the ConfigMap with the files.
        script: Run by Python without the project.
        arguments: Of the script.
        files: More files in its folder, `/files`.
    """
    container = {
        "name": name,
        "image": settings.transformer_image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", f"/files/{script.name}", *arguments],
        "securityContext": _SECURITY,
        "volumeMounts": [{"name": "files", "mountPath": "/files"}],
        "readinessProbe": {"httpGet": {"path": "/", "port": PORT}, "periodSeconds": 2},
    }
    spec = {
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "files", "configMap": {"name": name}}],
    }
    metadata = {"name": name, "labels": {"app": name}}
    encoded = {each: base64.b64encode(content).decode() for each, content in (files or {}).items()}
    content = {"data": {script.name: script.read_text()}, "binaryData": encoded}
    ports = {"selector": metadata["labels"], "ports": [{"port": PORT}]}
    namespace.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, **content},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": ports},
        {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec},
    )
    namespace.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=60s")

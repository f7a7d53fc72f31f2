"""Claims: on clusters with a default storage class, or on the one node that shares a folder with the tests."""

import json
from pathlib import Path

import pytest

from tests.cluster.kube import Namespace, run
from tests.cluster.settings import ClusterSettings


def offer_volume(namespace: Namespace, settings: ClusterSettings, claim: str) -> bool:
    """Make a volume for a claim of a namespace where the cluster would make none.

    Returns:
        Whether it was made by hand, so that the claim must name no storage class; skips where there is no way.
    """
    if not settings.host_path:
        if not _has_default_class():
            pytest.skip("the cluster has no default storage class: set CROWDSERVE_CLUSTER_HOST_PATH on a single node")
        return False
    path = Path(settings.host_path, f"{namespace.name}-{claim}")
    path.mkdir(mode=0o777)
    path.chmod(0o777)
    volume = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "hostPath": {"path": str(path), "type": "Directory"},
        "claimRef": {"namespace": namespace.name, "name": claim},
        "persistentVolumeReclaimPolicy": "Retain",
        "storageClassName": "",
    }
    metadata = {"name": f"{namespace.name}-{claim}"}
    namespace.apply({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": metadata, "spec": volume})
    return True


def _has_default_class() -> bool:
    classes = json.loads(run("kubectl", "get", "storageclasses", "--output", "json").stdout)["items"]
    marks = [each["metadata"].get("annotations", {}) for each in classes]
    return any(each.get("storageclass.kubernetes.io/is-default-class") == "true" for each in marks)

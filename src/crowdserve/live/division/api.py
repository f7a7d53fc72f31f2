"""Leases at an API server of Kubernetes: `coordination.k8s.io/v1`."""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from crowdserve.live.division.leases import Lease, LeasesAway, LeaseTaken, Role, lease_name

_GROUP, _VERSION, _PLURAL = "coordination.k8s.io", "v1", "leases"
_ROLE, _FLEET = "crowdserve.io/lease-of", "crowdserve.io/fleet"
_SUBJECT = "crowdserve.io/subject"
_ANSWER_SECONDS = 3.0

Object = dict[str, Any]


class ApiLeases:
    """The Leases of a fleet.

    Args:
        api: `CustomObjectsApi` of the kubernetes client.
        namespace: Where they are.
        fleet: Beginning of their names, and their label.
    """

    def __init__(self, api: Any, namespace: str, fleet: str) -> None:
        self._api = api
        self._namespace = namespace
        self._fleet = fleet
        logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # what is tried again is told here

    def unwritten(self, role: Role, subject: str) -> Lease:
        """As in `Leases`."""
        return Lease(lease_name(self._fleet, role, subject), role, subject)

    def listed(self, role: Role) -> list[Lease]:
        """As in `Leases`; from the API server's memory, which costs its database nothing."""
        found = self._answer(
            self._api.list_namespaced_custom_object,
            label_selector=f"{_FLEET}={self._fleet},{_ROLE}={role}",
            resource_version="0",
        )
        return [lease for item in found["items"] if (lease := _lease(item, role)) is not None]

    def read(self, role: Role, subject: str) -> Lease:
        """As in `Leases`."""
        fresh = self.unwritten(role, subject)
        found = self._answer(self._api.get_namespaced_custom_object, fresh.name, missing=True)
        return (_lease(found, role) if found else None) or fresh

    def written(self, lease: Lease) -> Lease:
        """As in `Leases`."""
        body = self._object(lease)
        if lease.version:
            stored = self._answer(self._api.replace_namespaced_custom_object, lease.name, body)
        else:
            stored = self._answer(self._api.create_namespaced_custom_object, body)
        written = _lease(stored, lease.role)
        if written is None:
            raise LeasesAway("the API server's answer is no Lease of a watcher")
        return written

    def _answer(self, call: Callable[..., Any], *arguments: Any, missing: bool = False, **options: Any) -> Any:
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        path = _GROUP, _VERSION, self._namespace, _PLURAL
        try:
            return call(*path, *arguments, _request_timeout=_ANSWER_SECONDS, **options)
        except HTTPError as err:
            raise LeasesAway(f"no answer from the API server ({type(err).__name__})") from err
        except ApiException as err:
            if err.status == 404 and missing:
                return None
            if err.status in {404, 409}:  # a replacement of what is gone: it is to be read again
                raise LeaseTaken(f"{err.status} {err.reason}") from err
            remedy = "; the rights needed are in docs/how-to/watch.md" if err.status in {401, 403} else ""
            raise LeasesAway(f"the API server answers {err.status} {err.reason}{remedy}") from err

    def _object(self, lease: Lease) -> Object:
        now = datetime.fromtimestamp(time.time(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        metadata: Object = {
            "name": lease.name,
            "labels": {_FLEET: self._fleet, _ROLE: lease.role},
            "annotations": {_SUBJECT: lease.subject},
        }
        if lease.version:
            metadata["resourceVersion"] = lease.version
        spec = {
            "holderIdentity": lease.holder,
            "leaseDurationSeconds": max(1, round(lease.duration_seconds)),
            "leaseTransitions": lease.transitions,
            "renewTime": now,  # so that no write is without effect
        }
        return {"apiVersion": f"{_GROUP}/{_VERSION}", "kind": "Lease", "metadata": metadata, "spec": spec}


def _lease(item: Object, role: Role) -> Lease | None:
    """A Lease from the API server's object; None if it is of something else."""
    metadata, spec = item["metadata"], item.get("spec") or {}
    subject = (metadata.get("annotations") or {}).get(_SUBJECT)
    if subject is None:
        return None
    return Lease(
        metadata["name"],
        role,
        subject,
        holder=spec.get("holderIdentity") or "",
        duration_seconds=float(spec.get("leaseDurationSeconds") or 15),
        transitions=int(spec.get("leaseTransitions") or 0),
        created=int(datetime.fromisoformat(metadata["creationTimestamp"]).timestamp()),
        version=metadata["resourceVersion"],
    )

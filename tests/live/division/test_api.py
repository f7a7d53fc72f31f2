"""Leases over HTTP, with what an API server answers."""

from dataclasses import replace

import pytest

from crowdserve.kubeconfig import custom_objects
from crowdserve.live.division.api import ApiLeases
from crowdserve.live.division.leases import LeasesAway, LeaseTaken
from tests.support.cluster import api_faults
from tests.support.cluster.api_server import ApiServer

NAME = "fleet-camera-platform-1-"


@pytest.fixture
def leases(kubernetes_api: ApiServer) -> ApiLeases:
    api, namespace = custom_objects()
    return ApiLeases(api, namespace, "fleet")


def test_a_lease_is_made_replaced_read_and_listed(leases: ApiLeases, kubernetes_api: ApiServer) -> None:
    missing = leases.read("camera", "Platform_1")
    assert (missing.version, missing.holder) == ("", "")
    assert missing.name.startswith(NAME)
    taken = leases.written(missing.taken_by("a/uid/1", 15))
    again = leases.written(taken.taken_by("b/uid/2", 15))
    assert (again.holder, again.transitions, again.subject) == ("b/uid/2", 2, "Platform_1")
    assert again.epoch > taken.epoch > 2**50
    assert leases.read("camera", "Platform_1") == leases.listed("camera")[0] == again
    assert leases.listed("watcher") == []
    spec = kubernetes_api.read("leases", again.name)["spec"]
    assert (spec["holderIdentity"], spec["leaseDurationSeconds"]) == ("b/uid/2", 15)
    given_up = leases.written(again.given_up())
    assert given_up.holder == ""


def test_a_renewal_is_a_new_version(leases: ApiLeases) -> None:
    first = leases.written(leases.read("watcher", "w").taken_by("w//1", 15))
    assert leases.written(first).version != first.version


def test_names_that_differ_only_in_what_a_name_cannot_have_are_different(leases: ApiLeases) -> None:
    names = {leases.unwritten("camera", subject).name for subject in ("A", "a", "a_", "a-", "x" * 63)}
    assert len(names) == 5
    assert all(len(name) < 100 for name in names)


def test_old_versions_and_what_exists_are_refused(leases: ApiLeases, kubernetes_api: ApiServer) -> None:
    fresh = leases.read("camera", "a")
    taken = leases.written(fresh.taken_by("x", 15))
    for stale in (fresh, replace(taken, version="1")):
        with pytest.raises(LeaseTaken):
            leases.written(stale.taken_by("y", 15))
    kubernetes_api.delete("leases", taken.name)
    with pytest.raises(LeaseTaken):
        leases.written(taken)


def test_what_has_no_answer_is_not_known(leases: ApiLeases, kubernetes_api: ApiServer) -> None:
    for fault in (api_faults.lose_connection, api_faults.answer(503), api_faults.answer(429)):
        kubernetes_api.disturb("GET", fault)
        with pytest.raises(LeasesAway):
            leases.read("camera", "a")
    kubernetes_api.disturb("POST", api_faults.answer(403, "Forbidden"))
    with pytest.raises(LeasesAway, match=r"403 .*the rights needed are in"):
        leases.written(leases.unwritten("camera", "a"))
    kubernetes_api.stop()
    with pytest.raises(LeasesAway, match="no answer"):
        leases.listed("watcher")

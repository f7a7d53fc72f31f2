"""The status after others have changed what a rollout left behind."""

import pytest

from tests.support.cluster.cluster_objects import IMAGE, NEW, OLD
from tests.support.cluster.world import World


def roll_back(world: World, name: str, uri: str) -> None:
    """As `helm rollback` and `helm upgrade` do: the versions change, the record stays."""
    world.api.change("inferenceservices", name, lambda o: o["spec"]["predictor"]["model"].update(storageUri=uri))


def departures(world: World) -> list[str]:
    lines = world.rollout("status", "crowd").out.splitlines()
    return [
        line.strip().removesuffix("; changed since by Helm or by hand") for line in lines if "changed since" in line
    ]


def test_status_of_what_a_rollout_left_is_silent(world: World) -> None:
    assert departures(world) == []
    world.start()
    assert departures(world) == []
    assert world.rollout("promote", "crowd").code == 0
    assert departures(world) == []
    roll_back(world, "crowd-canary", OLD)
    assert world.rollout("start", "crowd").code == 0
    assert world.rollout("abort", "crowd").code == 0
    assert departures(world) == []


def test_rollback_after_a_promotion_is_told(world: World) -> None:
    world.start()
    assert world.rollout("promote", "crowd").code == 0
    roll_back(world, "crowd", OLD)
    lines = world.rollout("status", "crowd").out.splitlines()
    assert lines[1].startswith("rollout  promoted since ")
    assert lines[1].endswith(f", {NEW}, {IMAGE} in place of {OLD}, {IMAGE}")
    assert f"stable   {OLD}, {IMAGE}: " in "\n".join(lines)
    departure = f"stable now is set to run {OLD}, {IMAGE}, not {NEW}, {IMAGE} as the rollout did"
    assert departures(world) == [departure]
    reply = world.auto()
    assert (reply.code, "--set" in reply.out) == (2, False)
    assert f"is promoted, 0 % of the traffic to the canary; but {departure}; begin one with start" in reply.error


@pytest.mark.parametrize("end", ["promote", "abort"])
def test_version_of_the_next_canary_is_told(world: World, end: str) -> None:
    world.start()
    assert world.rollout(end, "crowd").code == 0
    roll_back(world, "crowd-canary", "s3://models/v3")
    assert departures(world) == [
        f"canary now is set to run s3://models/v3, {IMAGE}, not {NEW}, {IMAGE} as the rollout did"
    ]


def test_upgrade_after_an_abort_is_told(world: World) -> None:
    world.start()
    assert world.rollout("abort", "crowd").code == 0
    roll_back(world, "crowd", NEW)
    assert departures(world) == [f"stable now is set to run {NEW}, {IMAGE}, not {OLD}, {IMAGE} as the rollout did"]


def test_upgrade_during_a_rollout_is_told(world: World) -> None:
    world.start()
    roll_back(world, "crowd", "s3://models/v0")
    assert departures(world)[0].startswith("stable now is set to run s3://models/v0")


def test_traffic_without_a_rollout_is_told(world: World) -> None:
    def give(percent: int) -> None:
        world.api.change(
            "httproutes", "crowd", lambda o: o["spec"]["rules"][1]["backendRefs"][1].update(weight=percent)
        )

    give(100)
    assert departures(world) == ["the canary has 50 % of the traffic without a rollout"]
    give(0)
    world.start()
    assert world.rollout("abort", "crowd").code == 0
    give(100)
    assert departures(world) == ["the canary has 50 % of the traffic, although the rollout has ended"]


def test_newest_revision_without_a_split_is_stable(knative_world: World) -> None:
    knative_world.start()
    assert f"canary   {NEW}, {IMAGE}: ready" in knative_world.rollout("status", "crowd").out
    assert knative_world.rollout("promote", "crowd").code == 0
    assert f"stable   {NEW}, {IMAGE}: ready" in knative_world.rollout("status", "crowd").out
    assert departures(knative_world) == []
    roll_back(knative_world, "crowd", OLD)
    assert departures(knative_world) == [
        f"stable now is set to run {OLD}, {IMAGE}, not {NEW}, {IMAGE} as the rollout did"
    ]

"""Faults of the API server, and other clients' changes between a read and a patch."""

from collections.abc import Callable

import pytest

from crowdserve.rollout.cluster import Cluster, connect
from crowdserve.rollout.errors import ClusterError, RolloutRefused
from crowdserve.rollout.resources import DEPLOYMENT
from tests.support.cluster.api_faults import answer, delay, first, lose_answer, lose_connection
from tests.support.cluster.api_server import Handler
from tests.support.cluster.cluster_objects import OLD
from tests.support.cluster.world import World


@pytest.mark.parametrize(
    ("method", "fault"),
    [
        *(("GET", fault) for fault in (lose_connection, answer(503), answer(429), delay(3.0))),
        *(
            ("PATCH", fault)
            for fault in (lose_connection, lose_answer, answer(409, "Conflict"), answer(504), delay(3.0))
        ),
    ],
)
def test_transient_fault_is_retried(world: World, method: str, fault: Callable[[Handler], bool]) -> None:
    world.start()
    moves = world.moves()
    moves.cluster._answer_seconds = 1.5
    before = moves.read()
    world.api.disturb(method, fault)
    moves.step(before, 25)
    assert world.weights() == [25, 25]
    assert world.history() == [25]


def test_unreachable_server_is_reported_after_retries(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.start()
    moves = world.moves()
    moves.cluster._reads._patience_seconds = 0.2
    for _ in range(3):
        world.api.disturb("GET", answer(503, "ServiceUnavailable"))
    with pytest.raises(ClusterError, match=r"cannot list inferenceservices in demo: answer 503 .*, is it reachable"):
        moves.read()
    assert world.moves().read().record.phase == "running"


def test_refusal_is_not_retried(world: World) -> None:
    world.start()
    before = len(world.api.requests)
    world.api.disturb("PATCH", answer(403, "Forbidden", 'User "ci" cannot patch resource "httproutes"'))
    reply = world.rollout("step", "crowd")
    assert reply.error.startswith(
        'the API server refused: 403 User "ci" cannot patch resource "httproutes"; the rights'
    )
    assert sum(line.startswith("PATCH") for line in world.api.requests[before:]) == 1


def test_stale_step_never_raises_a_route_after_an_abort(world: World) -> None:
    """The abort finds the second route at its old weight: only its record stops the other command's patch."""
    world.start()
    moves, other = world.moves(), world.moves()
    before = moves.read()
    patched = []

    def abort_before_second_patch(handler: Handler) -> bool:
        if "grpcroutes" in handler.path:
            other.abort("flames")
        patched.append(handler.path)
        return False

    world.api.disturb("PATCH", abort_before_second_patch)
    world.api.disturb("PATCH", abort_before_second_patch)
    with pytest.raises(RolloutRefused, match=r"aborted \(flames\)"):
        moves.step(before, 5)
    assert "httproutes" in patched[0]
    assert world.weights() == [0, 0]


def test_stale_promotion_never_changes_stable_after_an_abort(world: World) -> None:
    world.start()
    moves = world.moves()
    before = moves.read()

    def abort_before_stable_changes(handler: Handler) -> bool:
        if handler.path.split("?")[0].endswith("inferenceservices/crowd"):
            world.moves().abort("flames")
            return False
        world.api.disturb("PATCH", abort_before_stable_changes)
        return False

    world.api.disturb("PATCH", abort_before_stable_changes)
    with pytest.raises(RolloutRefused, match=r"aborted \(flames\)"):
        moves.promote(before)
    assert world.api.read("inferenceservices", "crowd")["spec"]["predictor"]["model"]["storageUri"] == OLD
    assert world.weights() == [0, 0]


def test_concurrent_changes_by_helm_and_kubectl_are_reread(world: World) -> None:
    """A merge patch of another client between read and patch: the rollout's own gets 409 and is retried."""
    world.start()
    before = world.moves().read()
    api = connect(None)._api

    def label() -> None:
        path = "gateway.networking.k8s.io", "v1", "demo", "httproutes", "crowd"
        api.patch_namespaced_custom_object(*path, {"metadata": {"labels": {"team": "vision"}}})

    world.api.disturb("PATCH", first(label))
    world.moves().step(before, 25)
    route = world.api.read("httproutes", "crowd")
    assert route["metadata"]["labels"] == {"app.kubernetes.io/instance": "crowd", "team": "vision"}
    assert world.weights() == [25, 25]
    api.api_client.close()


def test_diverged_routes_are_made_equal(world: World) -> None:
    world.start()
    world.api.change("grpcroutes", "crowd-grpc", lambda o: o["spec"]["rules"][0]["backendRefs"][1].update(weight=70))
    assert "the routes differ" in world.rollout("status", "crowd").out
    assert world.rollout("step", "crowd").code == 0
    assert world.weights() == [5, 5]


def test_broken_watch_does_not_stop_the_rollout(world: World) -> None:
    cluster = connect(None)
    assert isinstance(cluster, Cluster)
    found = cluster.get(DEPLOYMENT, "crowd-predictor")
    for fault in (lose_connection, answer(410, "Expired"), answer(403)):
        world.api.disturb("WATCH", fault)
        cluster.await_change(DEPLOYMENT, found, 5.0)
    assert [line.split()[0] for line in world.api.requests[-3:]] == ["WATCH"] * 3
    cluster.close()

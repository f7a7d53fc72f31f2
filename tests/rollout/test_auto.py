import threading
import time
from typing import Any

import pytest

from crowdserve.rollout.auto import Auto, Pace
from crowdserve.rollout.gate import Gate, Margins, Outcome
from crowdserve.rollout.golden import load_golden
from crowdserve.rollout.prometheus import Prometheus
from tests.support.cluster.api_faults import answer, first, lose_answer, lose_connection
from tests.support.cluster.cluster_objects import NEW, OLD, reconcile, set_status
from tests.support.cluster.world import World

DEPLOYMENTS = "/apis/apps/v1/namespaces/demo/deployments"
STABLE, CANARY = "crowd-predictor", "crowd-canary-predictor"


def stable_uri(world: World) -> str:
    return world.api.read("inferenceservices", "crowd")["spec"]["predictor"]["model"]["storageUri"]


def test_good_canary_is_promoted_in_steps(world: World) -> None:
    world.start()
    reply = world.auto()
    assert reply.code == 0
    assert world.history() == world.history("grpcroutes", "crowd-grpc") == [5, 25, 50, 100, 0]
    assert stable_uri(world) == NEW
    assert world.record().phase == "promoted"
    assert "--set-string storage.uri=s3://models/v2" in reply.out.splitlines()[-1]


def test_requested_steps_are_used(world: World) -> None:
    world.start()
    assert world.auto("--steps", "10,40").code == 0
    assert world.history() == [10, 40, 100, 0]  # 100: the canary serves while stable gets the new version


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"errors": {CANARY: 40}}, "errors: 10.00% of 400 requests, stable 0.00% of 400, at most 1.00% is allowed"),
        ({"seconds": {CANARY: 0.3}}, "latency: p95 0.301 s, stable 0.208 s, at most 0.250 s is allowed"),
        (
            {"seconds": {CANARY: 2.3, STABLE: 1.2}},
            "latency: p95 2.501 s, stable 1.197 s, at most 1.436 s is allowed",
        ),
    ],
)
def test_canary_with_failures_or_latency_is_aborted(world: World, fault: dict[str, Any], reason: str) -> None:
    world.start()
    for name, value in fault.items():
        setattr(world, name, value)
    reply = world.auto()
    assert reply.code == 1
    assert world.history() == world.history("grpcroutes", "crowd-grpc") == [5, 0]
    assert f"aborted, all traffic to stable: gate at 5 %: {reason}\n" in reply.out
    assert world.record().reason == f"gate at 5 %: {reason}"
    assert "--reuse-values --set canary.enabled=false" in reply.out.splitlines()[-1]
    assert stable_uri(world) == OLD


def test_canary_with_count_errors_gets_no_traffic(world: World) -> None:
    world.start()
    world.gateway.error = {STABLE: 1.0, CANARY: 1.06}
    reply = world.auto()
    assert reply.code == 1
    assert world.history() == []
    assert "golden set: MAE 1.06 on 3 photos, stable 1.00, at most 1.05 is allowed" in world.record().reason


def test_requested_margins_are_used(world: World) -> None:
    world.start()
    world.errors, world.seconds = {CANARY: 40, STABLE: 4}, {CANARY: 0.39}
    world.gateway.error = {STABLE: 1.0, CANARY: 1.4}
    asked = ["--margin-errors", "0.09", "--margin-latency", "1", "--margin-mae", "0.5"]
    assert world.auto(*asked).code == 0
    assert (
        world.rollout("abort", "crowd").out
        == "nothing to abort: the rollout is promoted, 0 % of the traffic to the canary\n"
    )


def test_canary_equal_to_a_bad_stable_passes(world: World) -> None:
    world.start()
    world.errors = {CANARY: 100, STABLE: 100}
    assert world.auto().code == 0


def test_share_is_observed_for_the_soak_time_unless_it_fails_early(world: World) -> None:
    world.start()
    reply = world.auto("--soak-seconds", "2", "--steps", "50")
    assert reply.code == 0
    assert "waiting at 50 %: 2 s from when it was set" in reply.out

    assert world.rollout("start", "crowd", "--storage-uri", OLD).code == 0
    world.errors = {CANARY: 400}
    assert world.auto("--soak-seconds", "600").code == 1  # otherwise this test times out


def test_measurements_start_after_the_settle_time(world: World) -> None:
    """Otherwise the golden set's photos, scraped after the change, would count as users' requests."""
    world.start()
    reply = world.auto("--settle-seconds", "600", "--no-verdict", "abort", "--patience-seconds", "0", "--dry-run")
    assert reply.code == 0
    world.moves().step(world.moves().read(), 5)
    reply = world.auto("--settle-seconds", "600", "--dry-run")
    assert reply.code == 3
    assert "errors      measured from 600 s after the weight was set" in reply.out
    assert {*world.prometheus.queries} == {"vector(1)"}  # the access check


def test_waits_for_a_starting_canary(world: World) -> None:
    world.start()
    set_status(world.api, CANARY, available=0)
    seen = len(world.api.requests)

    def become_ready() -> None:
        while world.api.requests[seen:].count(f"GET {DEPLOYMENTS}/{CANARY}") < 2:
            time.sleep(0.01)
        set_status(world.api, CANARY, available=2)

    thread = threading.Thread(target=become_ready)
    thread.start()
    reply = world.auto("--patience-seconds", "60", "--steps", "50")
    thread.join()
    assert reply.code == 0
    assert "waiting at 0 %: readiness: Deployment crowd-canary-predictor has 0 of 2 replicas available" in reply.out


def test_canary_that_becomes_unready_is_aborted(world: World) -> None:
    world.start()
    world.moves().step(world.moves().read(), 25)
    set_status(world.api, CANARY, available=0)
    reply = world.auto()
    assert reply.code == 1
    assert world.weights() == [0, 0]
    assert "readiness: Deployment crowd-canary-predictor has 0 of 2 replicas available" in world.record().reason


def test_canary_changed_by_hand_is_aborted(world: World) -> None:
    world.start()
    world.moves().step(world.moves().read(), 25)
    world.api.change(
        "inferenceservices", "crowd-canary", lambda o: o["spec"]["predictor"]["model"].update(storageUri="s3://other")
    )
    assert world.auto().code == 1
    assert "canary is set to run s3://other" in world.record().reason
    assert world.weights() == [0, 0]


def test_rollout_resumes_from_the_state_in_the_cluster(world: World) -> None:
    world.start()
    world.requests = 99
    assert world.auto().code == 3
    world.requests = 400
    world.serve_traffic(("httproutes", "demo", "crowd"))
    assert world.auto().code == 0
    assert world.history() == [5, 25, 50, 100, 0]


def test_rollout_killed_during_promotion_is_finished(world: World) -> None:
    world.start()
    moves = world.moves()
    world.api.on_change[0] = lambda key: None  # KServe does nothing: stable does not get its version
    moves.step(moves.read(), 100)
    reply = world.rollout("promote", "crowd", "--ready-seconds", "0")
    assert reply.code == 2
    assert "Deployment crowd-predictor does not have the new version yet after 0 s" in reply.error
    assert (world.record().phase, world.weights()) == ("promoting", [100, 100])

    reconcile(world.api, "crowd")
    assert world.auto().code == 0
    assert (world.record().phase, world.weights()) == ("promoted", [0, 0])


def test_network_faults_do_not_change_the_outcome(world: World) -> None:
    world.start()
    for method in ("GET", "PATCH"):
        for fault in (lose_connection, lose_answer, answer(503), answer(429)):
            world.api.disturb(method, fault)
    world.api.disturb("PATCH", answer(409, "Conflict"))
    assert world.auto().code == 0
    assert world.history() == world.history("grpcroutes", "crowd-grpc") == [5, 25, 50, 100, 0]


def test_smaller_canary_is_promoted_after_serving_all_traffic(world: World) -> None:
    world.start()
    set_status(world.api, CANARY, available=1)
    reply = world.auto("--steps", "5,50")
    assert (reply.code, world.history()) == (2, [5, 50])
    assert "with 1 predictor replicas against 2: let it show that it can, with 100 as the last of auto's" in reply.error
    assert world.auto("--steps", "5,50,100").code == 0
    assert world.history() == [5, 50, 100, 0]


def test_two_concurrent_rollouts_make_each_step_once(world: World) -> None:
    world.start()
    outcomes = []
    threads = [threading.Thread(target=lambda: outcomes.append(automatic(world).run())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == [Outcome.PASSED, Outcome.PASSED]
    assert world.history() == world.history("grpcroutes", "crowd-grpc") == [5, 25, 50, 100, 0]


def test_late_abort_is_not_overridden(world: World) -> None:
    world.start()
    world.api.disturb("PATCH", first(lambda: world.moves().abort("somebody saw flames")))
    reply = world.auto()
    assert reply.code == 2
    assert "aborted (somebody saw flames)" in reply.error
    assert world.weights() == [0, 0]
    assert world.history() == []


def test_dry_run_shows_every_patch_and_stores_none(world: World) -> None:
    world.start()
    stored = len(world.api.patches)
    reply = world.auto("--dry-run", "--steps", "5,100")
    assert reply.code == 0
    assert len(world.api.patches) == stored
    assert world.weights() == [0, 0]
    shares = [line for line in reply.out.splitlines() if "backendRefs/1/weight" in line]
    assert [line.split('"value": ')[1] for line in shares] == ["5}", "5}", "100}", "100}", "0}", "0}"]
    assert '{"op": "add", "path": "/spec/predictor/model/storageUri", "value": "s3://models/v2"}' in reply.out
    assert "would wait until every replica of stable is ready" in reply.out
    assert reply.out.count("a dry run shifts no traffic that could be measured") == 2


def test_dry_run_of_an_abort_has_the_exit_code_of_the_abort(world: World) -> None:
    world.start()
    world.errors = {CANARY: 40}
    world.moves().step(world.moves().read(), 25)
    stored = len(world.api.patches)
    reply = world.auto("--dry-run")
    assert reply.code == 1
    assert len(world.api.patches) == stored
    assert "would patch GRPCRoute crowd-grpc" in reply.out
    assert world.weights() == [25, 25]


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        (["--golden", "x"], "give --prometheus URL, or leave that out with --without metrics"),
        (["--prometheus", "http://x"], "give --golden FOLDER and --url, or --without golden"),
        (["--steps", "50,25"], "--steps is '50,25'; expected ascending percentages from 1 to 100"),
        (["--steps", "5,x"], "--steps is '5,x'"),
        (["--prometheus", "x", "--without", "golden"], "Prometheus' URL is 'x'; expected one like"),
    ],
)
def test_gate_needs_every_measurement_or_an_explicit_omission(world: World, missing: list[str], message: str) -> None:
    world.start()
    reply = world.rollout("auto", "crowd", *missing)
    assert reply.code == 2
    assert message in reply.error


def test_measurements_of_the_gate_can_be_omitted(world: World) -> None:
    world.start()
    pace = ["--settle-seconds", "0", "--soak-seconds", "0"]
    reply = world.rollout("auto", "crowd", "--without", "metrics", "--without", "golden", *pace)
    assert reply.code == 0
    assert not world.prometheus.queries
    assert not world.gateway.counted
    assert reply.out.count("left out  golden set  not asked for") == 5


def test_auto_needs_a_rollout(world: World) -> None:
    reply = world.auto()
    assert reply.code == 2
    assert "the rollout of 'crowd' is idle, 0 % of the traffic to the canary; begin one with start" in reply.error


def automatic(world: World) -> Auto:
    moves = world.moves()
    asked = Prometheus(world.prometheus.url, "demo"), load_golden(world.golden), world.gateway.url
    return Auto(
        moves, Gate(moves.cluster, Margins(), *asked, settle_seconds=0.0), Pace((5, 25, 50, 100), 0.0, 5.0, 0.02, False)
    )

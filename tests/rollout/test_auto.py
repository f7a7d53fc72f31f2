import math
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from crowdserve.rollout.auto import Auto, Pace
from crowdserve.rollout.gate import Gate, Margins, Outcome
from crowdserve.rollout.golden import load_golden
from crowdserve.rollout.prometheus import REQUESTS_FOR_P95, Prometheus, quantile_shares
from crowdserve.rollout.resources import RECORD_ANNOTATION
from crowdserve.rollout.state import now
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


def test_too_little_traffic_is_reported_and_holds_the_share(world: World) -> None:
    world.start()
    world.requests = 99
    reply = world.auto()
    assert reply.code == 3
    assert "too little traffic for a verdict: 99 requests to the canary" in reply.out
    assert world.history() == [5]
    assert world.record().phase == "running"


def test_p95_of_few_requests_gives_no_verdict(world: World) -> None:
    world.start()
    world.requests, world.seconds = 58, {CANARY: 5.0}
    reply = world.auto("--min-requests", "20")
    assert (reply.code, world.history()) == (3, [5])
    assert "ok        errors      0.00% of 58 requests" in reply.out
    assert "unknown   latency     58 requests to the canary are too few for a p95, 59 are needed" in reply.out


def test_latency_that_chance_may_explain_gives_no_verdict(world: World) -> None:
    """Of 60 requests each, 4 of the canary's are slow and 2 of stable's: p95 differs, one software may do that."""
    world.start()
    world.requests = 0
    assert world.auto().code == 3
    for pod, slow in (("crowd-canary-predictor-77d4b-fghij", 4), ("crowd-predictor-5f7c9-abcde", 2)):
        world.prometheus.observe(pod, 60 - slow, seconds=0.2)
        world.prometheus.observe(pod, slow, seconds=2.0)
    reply = world.auto("--min-requests", "20")
    assert (reply.code, world.history()) == (3, [5])
    assert "unknown   latency     p95 1.9" in reply.out
    assert "it is over that, which so few requests may show by chance" in reply.out
    world.prometheus.observe("crowd-canary-predictor-77d4b-fghij", 60, seconds=5.0)
    assert world.auto("--min-requests", "20").code == 1


def test_shares_of_the_bounds_come_from_the_binomial_distribution() -> None:
    """The chance that the true p95 is beyond a bound is about 5 %, as whole requests allow."""
    for requests in (REQUESTS_FOR_P95, 100, 400):
        low, high = quantile_shares(requests)
        under_low = sum(binomial(requests, k) for k in range(math.floor((1 - low) * requests) + 1, requests + 1))
        over_high = sum(binomial(requests, k) for k in range(math.floor((1 - high) * requests) + 1))
        assert max(under_low, over_high) < 0.08
        assert min(under_low, over_high) > 0.02
    assert 0.95**REQUESTS_FOR_P95 < 0.05 < 0.95 ** (REQUESTS_FOR_P95 - 1)


def binomial(n: int, k: int) -> float:
    return math.comb(n, k) * 0.05**k * 0.95 ** (n - k)


def test_too_little_traffic_to_stable_is_reported(world: World) -> None:
    world.start()
    world.requests = 0
    world.moves().step(world.moves().read(), 5)
    world.prometheus.observe("crowd-canary-predictor-77d4b-fghij", 500)
    world.prometheus.observe("crowd-predictor-5f7c9-abcde", 70)
    reply = world.auto()
    assert reply.code == 3
    assert "too little traffic for a verdict: 70 requests to the stable" in reply.out


def give_another_golden_set(world: World) -> None:
    """Other labels, after stable was measured with the first ones."""
    assert world.auto("--steps", "5", "--soak-seconds", "0", "--margin-errors", "0", "--min-requests", "500").code == 3
    (world.golden / "test" / "gt" / "0001.txt").write_text("1 1 1 1 0 0\n")


def step_past_the_measurement(world: World) -> None:
    world.moves().step(world.moves().read(), 5)


def remove_tester_rule(world: World) -> None:
    world.api.change("httproutes", "crowd", lambda o: o["spec"]["rules"].pop(0))


def change_the_canary_long_after_the_start(world: World) -> None:
    change = {"storageUri": "s3://other"}
    world.api.change("inferenceservices", "crowd-canary", lambda o: o["spec"]["predictor"]["model"].update(change))
    record = replace(world.record(), since=(now() - timedelta(minutes=10)).isoformat())
    for plural, name in (("httproutes", "crowd"), ("grpcroutes", "crowd-grpc")):
        text = {RECORD_ANNOTATION: record.text()}
        world.api.change(plural, name, lambda o, text=text: o["metadata"]["annotations"].update(text))


def leave_stable_without_traffic(world: World) -> None:
    world.golden = world.golden.parent / "golden"
    assert world.auto("--dry-run").code == 0
    score = world.moves()
    release = score.read()
    measured = load_golden(world.golden).score(world.gateway.url, release.address("stable"))
    score.step(release, 100, score=measured)


def refuse_the_token(world: World) -> None:
    world.gateway.token = "s3cret"


def drop_the_pods_name(world: World) -> None:
    del world.gateway.pods[CANARY]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (step_past_the_measurement, "golden set: the stable track was not measured while it had all the traffic"),
        (
            give_another_golden_set,
            "golden set: the stable track was not measured with this golden set while it had all",
        ),
        (change_the_canary_long_after_the_start, "versions: canary is set to run s3://other, "),
        (remove_tester_rule, "golden set: no rule or tag leads to the canary alone"),
        (leave_stable_without_traffic, "requests to the stable in "),
        (refuse_the_token, "answered 401 Unauthorized: set CROWDSERVE_TOKEN to a bearer token"),
        (drop_the_pods_name, "golden set: an answer lacks the header x-crowdserve-pod"),
    ],
)
def test_verdict_that_cannot_come_is_not_waited_for(world: World, spoil: Callable[[World], None], reason: str) -> None:
    world.start()
    spoil(world)
    weights = world.weights()
    patient = ["--patience-seconds", "3600", "--soak-seconds", "600", "--poll-seconds", "600"]
    reply = world.auto(*patient)  # otherwise this test times out
    assert (reply.code, world.weights()) == (3, weights)
    assert reason in reply.out
    assert "waiting would bring none: mend this, or abort" in reply.out
    assert world.auto(*patient, "--no-verdict", "abort").code == 1
    assert world.weights() == [0, 0]


def test_no_verdict_can_be_set_to_abort(world: World) -> None:
    world.start()
    world.requests = 99
    assert world.auto("--no-verdict", "abort").code == 1
    assert world.weights() == [0, 0]


def test_failed_prometheus_query_gives_no_verdict(world: World) -> None:
    world.start()
    world.prometheus.mood = "refuses"
    reply = world.auto()
    assert reply.code == 3
    assert "Prometheus refused a query: query timed out" in reply.out
    assert world.history() == [5]


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

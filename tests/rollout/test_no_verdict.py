"""Measurements that give the gate no verdict: those that are waited for, and those that waiting cannot change."""

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from crowdserve.rollout.golden import load_golden
from crowdserve.rollout.prometheus import REQUESTS_FOR_P95, quantile_shares
from crowdserve.rollout.resources import RECORD_ANNOTATION
from crowdserve.rollout.state import now
from tests.support.cluster.world import World

CANARY = "crowd-canary-predictor"


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

from datetime import timedelta

import pytest

from crowdserve.errors import DatasetError, SetupError
from crowdserve.rollout.errors import RolloutRefused
from crowdserve.rollout.golden import GoldenFailed, GoldenUnreachable, load_golden
from crowdserve.rollout.prometheus import Prometheus, PrometheusSilent
from crowdserve.rollout.release import Address, read_release
from crowdserve.rollout.state import Record, Score, Traffic, Version, now, parse_record
from tests.support.cluster.cluster_objects import TESTERS
from tests.support.cluster.world import World

STABLE_ONLY = Address(None, {}, "crowdserve", "crowd-predictor-.*")
CANARY_ONLY = Address(None, {"x-crowdserve-track": TESTERS}, "crowdserve", "crowd-canary-predictor-.*")


def test_traffic_is_measured_per_track_within_the_window(world: World) -> None:
    release = world.moves().read()
    world.prometheus.observe("crowd-predictor-5f7c9-abcde", 50, errors=50)
    begin = now()
    world.prometheus.observe("crowd-predictor-5f7c9-abcde", 20, errors=1, seconds=0.5)
    world.prometheus.observe("crowd-predictor-5f7c9ab", 2, seconds=0.5)  # a long name, cut by Kubernetes
    world.prometheus.observe("crowd-canary-predictor-77d4b-fghij", 30)
    world.prometheus.observe("crowd-predictor-x-predictor-5f7c9-abcde", 40)  # another release's
    client = Prometheus(world.prometheus.url, "demo", token="secret")
    end = begin + timedelta(seconds=3600)
    window = (begin - timedelta(hours=1), begin)
    assert client.traffic(release.pods("stable"), *window).errors == 50
    assert client.traffic(release.pods("stable"), begin, end) == Traffic(22, 1, pytest.approx(0.5, rel=0.1))
    assert client.traffic(release.pods("canary"), begin, end) == Traffic(30, 0, pytest.approx(0.2, rel=0.1))
    assert client.traffic("none", begin, end) == Traffic(0, 0, None)
    world.prometheus.observe("crowd-canary-predictor-77d4b-fghij", 70, seconds=0.4)
    low, high = client.traffic(release.pods("canary"), begin, end).p95_bounds_seconds or (0.0, 0.0)
    assert 0.39 < low < high < 0.44
    assert {*world.prometheus.tokens} == {"Bearer secret"}
    client.close()


def test_requests_of_testers_and_refusals_are_no_errors_of_a_track(world: World) -> None:
    """Anybody may send the header, and anybody may send nonsense: neither may end a rollout."""
    pod, begin = "crowd-canary-predictor-77d4b-fghij", now()
    world.prometheus.observe(pod, 100, seconds=0.2)
    world.prometheus.observe(pod, 300, errors=300, seconds=30, traffic="tester")
    for status in ("400", "408", "413", "429", "431", "499"):
        world.prometheus.observe(pod, 10, status=status)
    client = Prometheus(world.prometheus.url, "demo")
    found = client.traffic(world.moves().read().pods("canary"), begin, begin + timedelta(seconds=3600))
    client.close()
    assert (found.requests, found.errors) == (160, 0)
    assert found.p95_seconds == pytest.approx(0.2, rel=0.1)


@pytest.mark.parametrize(("mood", "message"), [("refuses", "query timed out"), ("confused", "not a Prometheus reply")])
def test_malformed_reply_is_no_measurement(world: World, mood: str, message: str) -> None:
    world.prometheus.mood = mood
    client = Prometheus(world.prometheus.url, "demo")
    with pytest.raises(PrometheusSilent, match=message):
        client.traffic("x", now() - timedelta(seconds=1), now())
    client.close()


@pytest.mark.parametrize(
    ("token", "remedy"),
    [
        (None, "set CROWDSERVE_PROMETHEUS_TOKEN to a bearer token"),
        ("0ld", "it refuses the token in CROWDSERVE_PROMETHEUS_TOKEN"),
    ],
)
def test_access_refused_by_prometheus_ends_the_command(
    world: World, monkeypatch: pytest.MonkeyPatch, token: str | None, remedy: str
) -> None:
    world.start()
    world.prometheus.mood = "closed"
    if token:
        monkeypatch.setenv("CROWDSERVE_PROMETHEUS_TOKEN", token)
    client = Prometheus(world.prometheus.url, "demo", token=token)
    with pytest.raises(SetupError, match=remedy):
        client.traffic("x", now() - timedelta(seconds=1), now())
    client.close()
    reply = world.auto("--patience-seconds", "3600")
    assert (reply.code, world.weights()) == (2, [0, 0])
    assert reply.error == f"Prometheus at {world.prometheus.url} answered 401 Unauthorized: {remedy}"


@pytest.mark.parametrize("url", ["http://bob:p/w0rd@127.0.0.1:9", "http://bob:w0rd@127.0.0.1:9", "bob:w0rd@127.0.0.1"])
def test_messages_contain_no_password(world: World, url: str) -> None:
    world.start()
    moves = world.moves()
    for options in (["--url", url], ["--prometheus", url]):
        reply = world.auto(*options)
        printed = reply.out + reply.error
        assert reply.code in {2, 3}
        assert "127.0.0.1" in printed
        assert "bob" not in printed
        assert "w0rd" not in printed
        moves.step(moves.read(), 5)  # as seen by Prometheus


def test_golden_scores_are_mean_absolute_errors(world: World) -> None:
    golden = load_golden(world.golden)
    world.gateway.error = {"crowd-predictor": -2.5}
    assert golden.score(world.gateway.url, STABLE_ONLY) == Score(golden.digest, 3, 2.5)
    world.gateway.broken = {"crowd-predictor"}
    with pytest.raises(GoldenFailed, match=r"0001\.png: crowd_dense failed"):
        golden.score(world.gateway.url, STABLE_ONLY)
    with pytest.raises(GoldenUnreachable):
        golden.score("http://127.0.0.1:9", STABLE_ONLY)


def rename_model(world: World, name: str) -> None:
    """Rename the model in both tracks and in the gateway, as `transformer.modelName` does."""
    for track in ("crowd", "crowd-canary"):
        world.api.change(
            "inferenceservices", track, lambda o: o["spec"]["predictor"]["containers"][0]["args"].__setitem__(1, name)
        )
    world.gateway.model = name


def test_golden_set_uses_the_model_name_of_the_cluster(world: World) -> None:
    world.start()
    rename_model(world, "people")
    assert "ok        golden set  MAE 0.00 on 3 photos" in world.auto("--dry-run").out
    assert len(world.gateway.counted) == 6


def test_url_without_the_model_gives_no_verdict(world: World) -> None:
    world.start()
    world.gateway.model = "another"
    reply = world.auto("--dry-run")
    assert reply.code == 3
    assert "unknown   golden set" in reply.out
    assert "answered 404 Not Found: no model 'crowdserve' there; check the URL" in reply.out


def test_golden_set_is_sent_with_the_token_of_the_environment(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.start()
    world.gateway.token = "s3cret"
    monkeypatch.setenv("CROWDSERVE_TOKEN", "s3cret\n")
    assert "ok        golden set  MAE 0.00 on 3 photos" in world.auto("--dry-run").out
    assert world.gateway.tokens == ["Bearer s3cret"] * 6
    assert {*world.prometheus.tokens} <= {None}


@pytest.mark.parametrize(
    ("token", "remedy"),
    [(None, "set CROWDSERVE_TOKEN to a bearer token"), ("0ld", "it refuses the token in CROWDSERVE_TOKEN")],
)
def test_wrong_token_gives_no_verdict(
    world: World, monkeypatch: pytest.MonkeyPatch, token: str | None, remedy: str
) -> None:
    world.start()
    world.gateway.token = "s3cret"
    if token:
        monkeypatch.setenv("CROWDSERVE_TOKEN", token)
    reply = world.auto()
    assert reply.code == 3
    assert f"{world.gateway.url} answered 401 Unauthorized: {remedy}" in reply.out
    assert "0ld" not in reply.out + reply.error
    assert world.weights() == [0, 0]


def test_https_token_is_never_sent_over_http(world: World) -> None:
    golden, plain = load_golden(world.golden), Address(world.gateway.url, {}, "crowdserve", ".*")
    with pytest.raises(GoldenUnreachable, match="is not encrypted as https://count"):
        golden.score("https://count.example.com", plain, "s3cret")
    assert not world.gateway.tokens


def test_changed_label_changes_the_golden_set(world: World) -> None:
    before = load_golden(world.golden).digest
    (world.golden / "test" / "gt" / "0001.txt").write_text("1 1 1 1 0 0\n")
    assert load_golden(world.golden).digest != before
    with pytest.raises(DatasetError):
        load_golden(world.golden / "nowhere")


def test_broken_canary_fails_and_broken_stable_gives_no_verdict(world: World) -> None:
    world.start()
    world.gateway.broken = {"crowd-canary-predictor"}
    assert "golden set: the canary did not count 0001.png" in world.auto("--dry-run").out
    world.gateway.broken = {"crowd-predictor"}
    assert "the stable track itself did not count 0001.png" in world.auto("--dry-run").out


def test_canary_that_has_too_much_to_do_gives_no_verdict(world: World) -> None:
    """Whoever sends many requests must not end a rollout."""
    world.start()
    world.gateway.busy = {"crowd-canary-predictor"}
    assert "unknown   golden set  0001.png: too many images wait" in world.auto("--dry-run").out


def test_reply_of_stable_is_not_taken_for_the_canary(world: World) -> None:
    world.start()
    world.gateway.drops = {"x-crowdserve-track"}  # as a proxy before the gateway does, or a port-forward to stable
    world.gateway.error = {"crowd-canary-predictor": 20.0}
    reply = world.auto()
    assert reply.code == 3
    expected = (
        "unknown   golden set  pod crowd-predictor-5f7c9-abcde answered, expected one like crowd-canary-predictor-"
    )
    assert expected in reply.out
    assert world.weights() == [0, 0]
    world.gateway.broken = {"crowd-predictor"}
    with pytest.raises(GoldenUnreachable, match="pod crowd-predictor-5f7c9-abcde answered"):
        load_golden(world.golden).score(world.gateway.url, CANARY_ONLY)


def test_reply_without_a_pod_gives_no_verdict(world: World) -> None:
    world.start()
    del world.gateway.pods["crowd-canary-predictor"]
    reply = world.auto()
    assert reply.code == 3
    assert "unknown   golden set  an answer lacks the header x-crowdserve-pod" in reply.out
    assert world.weights() == [0, 0]
    world.gateway.broken = {"crowd-canary-predictor"}  # the gateway's own 5xx: the track is gone
    assert "golden set: the canary did not count 0001.png" in world.auto("--dry-run").out


def test_missing_tester_rule_gives_no_verdict(world: World) -> None:
    world.start()
    world.api.change("httproutes", "crowd", lambda o: o["spec"]["rules"].pop(0))
    assert "no rule or tag leads to the canary alone" in world.auto("--dry-run").out
    assert not world.gateway.counted


def test_record_round_trips_through_its_annotation() -> None:
    score, traffic = Score("abc", 3, 1.5), Traffic(200, 0, 0.5, (0.4, 0.6))
    record = Record("running", now().isoformat(), Version("s3://a"), Version("s3://b", "i:1"), score, traffic, "why")
    found = {"kind": "HTTPRoute", "metadata": {"name": "x", "annotations": {"crowdserve.io/rollout": record.text()}}}
    assert parse_record(found) == record
    found["metadata"]["annotations"]["crowdserve.io/rollout"] = '{"phase": "running"}'
    with pytest.raises(RolloutRefused, match="is not a record of a rollout"):
        parse_record(found)


@pytest.mark.parametrize(
    ("remove", "message"),
    [
        (("inferenceservices", "crowd"), "namespace demo has no crowdserve release 'crowd'"),
        (("inferenceservices", "crowd-canary"), "release 'crowd' has no canary; add it with: helm upgrade"),
    ],
)
def test_missing_object_is_named(world: World, remove: tuple[str, str], message: str) -> None:
    world.api.delete(*remove)
    with pytest.raises(RolloutRefused, match=message):
        world.moves().read()


def test_release_without_grpc_routes_is_complete(world: World) -> None:
    world.api.known.discard("grpcroutes")  # no such kind in this cluster
    release = read_release(world.moves().cluster, "crowd")
    assert len(release.splits) == 1


def test_status_shows_both_tracks(world: World) -> None:
    world.start()
    assert world.rollout("step", "crowd", "--to", "25").code == 0
    lines = world.rollout("status", "crowd").out.splitlines()
    assert lines[0] == "release  crowd in demo (Standard mode)"
    assert lines[1].startswith("rollout  running since 20")
    image = "ghcr.io/crowdserve/transformer:1.0.0"
    assert lines[1].endswith(f", s3://models/v2, {image} in place of s3://models/v1, {image}")
    assert lines[2:] == [
        "weight   25 % of the traffic to the canary",
        "stable   s3://models/v1, ghcr.io/crowdserve/transformer:1.0.0: ready",
        "canary   s3://models/v2, ghcr.io/crowdserve/transformer:1.0.0: ready",
    ]

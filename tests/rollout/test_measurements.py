from datetime import timedelta

import pytest

from crowdserve.errors import DatasetError, SetupError
from crowdserve.rollout.errors import RolloutRefused
from crowdserve.rollout.golden import GoldenFailed, GoldenUnreachable, load_golden
from crowdserve.rollout.prometheus import Prometheus, PrometheusSilent
from crowdserve.rollout.release import Address, read_release
from crowdserve.rollout.state import Record, Score, Traffic, Version, now, parse_record

STABLE_ONLY = Address(None, {}, "crowdserve", "crowd-predictor-.*")
CANARY_ONLY = Address(None, {"x-crowdserve-track": "canary"}, "crowdserve", "crowd-canary-predictor-.*")


def test_traffic_is_of_the_tracks_own_pods_in_the_window(world):
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
    assert client.traffic(release.pods("stable"), begin, end) == Traffic(22, 1, 0.5)
    assert client.traffic(release.pods("canary"), begin, end) == Traffic(30, 0, 0.2)
    assert client.traffic("none", begin, end) == Traffic(0, 0, None)
    assert {*world.prometheus.tokens} == {"Bearer secret"}
    client.close()


@pytest.mark.parametrize(("mood", "message"), [("refuses", "query timed out"), ("confused", "not a Prometheus reply")])
def test_a_strange_answer_is_no_measurement(world, mood, message):
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
def test_a_prometheus_that_refuses_this_caller_ends_the_command(world, monkeypatch, token, remedy):
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
def test_no_message_repeats_a_password(world, url):
    world.start()
    moves = world.moves()
    for options in (["--url", url], ["--prometheus", url]):
        reply = world.auto(*options)
        told = reply.out + reply.error
        assert reply.code in {2, 3}
        assert "127.0.0.1" in told
        assert "bob" not in told
        assert "w0rd" not in told
        moves.step(moves.read(), 5)  # from where Prometheus is asked


def test_golden_scores_are_mean_absolute_errors(world):
    golden = load_golden(world.golden)
    world.gateway.error = {"crowd-predictor": -2.5}
    assert golden.score(world.gateway.url, STABLE_ONLY) == Score(golden.digest, 3, 2.5)
    world.gateway.broken = {"crowd-predictor"}
    with pytest.raises(GoldenFailed, match=r"0001\.png: crowd_dense failed"):
        golden.score(world.gateway.url, STABLE_ONLY)
    with pytest.raises(GoldenUnreachable):
        golden.score("http://127.0.0.1:9", STABLE_ONLY)


def rename_model(world, name):
    """What `transformer.modelName` does to both tracks and to the service that they are."""
    for track in ("crowd", "crowd-canary"):
        world.api.change(
            "inferenceservices", track, lambda o: o["spec"]["predictor"]["containers"][0]["args"].__setitem__(1, name)
        )
    world.gateway.model = name


def test_the_golden_set_asks_for_the_model_by_its_name_in_the_cluster(world):
    world.start()
    rename_model(world, "people")
    assert "ok        golden set  MAE 0.00 on 3 photos" in world.auto("--dry-run").out
    assert len(world.gateway.counted) == 6


def test_a_url_without_the_model_blames_no_track(world):
    world.start()
    world.gateway.model = "another"
    reply = world.auto("--dry-run")
    assert reply.code == 3
    assert "unknown   golden set" in reply.out
    assert "answered 404 Not Found: no model 'crowdserve' there; check the URL" in reply.out


def test_the_golden_set_is_sent_with_the_token_of_the_environment(world, monkeypatch):
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
def test_without_the_right_token_there_is_no_verdict(world, monkeypatch, token, remedy):
    world.start()
    world.gateway.token = "s3cret"
    if token:
        monkeypatch.setenv("CROWDSERVE_TOKEN", token)
    reply = world.auto()
    assert reply.code == 3
    assert f"{world.gateway.url} answered 401 Unauthorized: {remedy}" in reply.out
    assert "0ld" not in reply.out + reply.error
    assert world.weights() == [0, 0]


def test_a_token_for_https_is_never_sent_in_the_clear(world):
    golden, plain = load_golden(world.golden), Address(world.gateway.url, {}, "crowdserve", ".*")
    with pytest.raises(GoldenUnreachable, match="is not encrypted as https://count"):
        golden.score("https://count.example.com", plain, "s3cret")
    assert not world.gateway.tokens


def test_another_label_is_another_golden_set(world):
    before = load_golden(world.golden).digest
    (world.golden / "test" / "gt" / "0001.txt").write_text("1 1 1 1 0 0\n")
    assert load_golden(world.golden).digest != before
    with pytest.raises(DatasetError):
        load_golden(world.golden / "nowhere")


def test_a_broken_canary_fails_and_a_broken_stable_gives_no_verdict(world):
    world.start()
    world.gateway.broken = {"crowd-canary-predictor"}
    assert "golden set: the canary did not count 0001.png" in world.auto("--dry-run").out
    world.gateway.broken = {"crowd-predictor"}
    assert "the stable track itself did not count 0001.png" in world.auto("--dry-run").out


def test_stable_is_never_taken_for_the_canary(world):
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


def test_an_answer_of_nobody_knows_which_pod_gives_no_verdict(world):
    world.start()
    del world.gateway.pods["crowd-canary-predictor"]
    reply = world.auto()
    assert reply.code == 3
    assert "unknown   golden set  an answer lacks the header x-crowdserve-pod" in reply.out
    assert world.weights() == [0, 0]
    world.gateway.broken = {"crowd-canary-predictor"}  # the gateway's own 5xx: the track is gone
    assert "golden set: the canary did not count 0001.png" in world.auto("--dry-run").out


def test_without_the_testers_rule_nothing_is_taken_for_the_canary(world):
    world.start()
    world.api.change("httproutes", "crowd", lambda o: o["spec"]["rules"].pop(0))
    assert "no rule or tag leads to the canary alone" in world.auto("--dry-run").out
    assert not world.gateway.counted


def test_a_record_survives_its_annotation():
    score, traffic = Score("abc", 3, 1.5), Traffic(200, 0, None)
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
def test_what_is_missing_is_named(world, remove, message):
    world.api.delete(*remove)
    with pytest.raises(RolloutRefused, match=message):
        world.moves().read()


def test_a_release_without_grpc_routes_is_whole(world):
    world.api.known.discard("grpcroutes")  # no such kind in this cluster
    release = read_release(world.moves().cluster, "crowd")
    assert len(release.splits) == 1


def test_status_shows_both_tracks(world):
    world.start()
    assert world.rollout("step", "crowd", "--to", "25").code == 0
    lines = world.rollout("status", "crowd").out.splitlines()
    assert lines[0] == "release  crowd in demo (Standard mode)"
    assert lines[1].startswith("rollout  running since 20")
    assert lines[2:] == [
        "weight   25 % of the traffic to the canary",
        "stable   s3://models/v1, ghcr.io/crowdserve/transformer:1.0.0: ready",
        "canary   s3://models/v2, ghcr.io/crowdserve/transformer:1.0.0: ready",
    ]

"""The API server, the gateway and Prometheus go away in the middle of a command, and come back on the same port."""

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from crowdserve.rollout import cluster, outage
from crowdserve.rollout.actions import Actions
from crowdserve.rollout.cluster import connect
from crowdserve.rollout.errors import ClusterError
from crowdserve.rollout.resources import DEPLOYMENT
from tests.support.certificates import write_certificate
from tests.support.cluster.api_faults import answer, delay, lose_answer
from tests.support.cluster.api_server import Handler
from tests.support.cluster.cluster_objects import NEW, reconcile
from tests.support.cluster.stoppable import StoppableServer
from tests.support.cluster.world import World, kubeconfig

AWAY_SECONDS = 0.5
DENIED = answer(403, "Forbidden", "User cannot list resource: RBAC is not loaded")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """An outage of half a second is worth a line, and the pauses are as short."""
    monkeypatch.setattr(outage, "UNSAID_SECONDS", 0.15)
    monkeypatch.setattr(outage, "LONGEST_PAUSE_SECONDS", 0.2)


class Breakdown:
    """Stops a server once, for some time, from a thread of its own."""

    def __init__(self, server: StoppableServer, seconds: float = AWAY_SECONDS) -> None:
        self._server = server
        self._thread = threading.Thread(target=self._run)
        self._begin = threading.Event()
        self._seconds = seconds

    def __enter__(self) -> "Breakdown":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._begin.set()
        self._thread.join()

    def now(self) -> None:
        """Stop the server, and return when it is stopped."""
        self._begin.set()
        while self._server.serves:
            time.sleep(0.005)

    def at(self, handler: Handler) -> bool:
        """As a fault of a request, which the server does not survive."""
        self.now()
        return True

    def _run(self) -> None:
        self._begin.wait()
        self._server.stop()
        time.sleep(self._seconds)
        self._server.start()


def at_request(world: World, method: str, part: str, act: Callable[[Handler], bool]) -> None:
    """Act at the first request of a method whose path contains a text."""

    def fault(handler: Handler) -> bool:
        if part in handler.path:
            return act(handler)
        world.api.disturb(method, fault)
        return False

    world.api.disturb(method, fault)


@pytest.mark.parametrize(
    ("method", "part"),
    [
        ("GET", "inferenceservices"),  # reads the release
        ("GET", "deployments/crowd-canary"),  # asks for readiness
        ("PATCH", "httproutes"),  # sets the share
        ("PATCH", "inferenceservices/crowd"),  # promotes
        ("WATCH", "deployments"),  # waits for stable
    ],
)
def test_auto_waits_for_the_api_server_whatever_it_does(world: World, method: str, part: str) -> None:
    world.start()
    if method == "WATCH":
        world.api.on_change[0] = lambda key: None  # stable takes its time
    with Breakdown(world.api) as breakdown:

        def act(handler: Handler) -> bool:
            breakdown.now()
            if method == "WATCH":
                reconcile(world.api, "crowd")
            return True

        def arm(handler: Handler) -> bool:
            at_request(world, method, part, act)
            return False

        world.api.disturb("GET", arm)  # a server that has not answered yet is given less time
        reply = world.auto("--steps", "50,100", "--patience-seconds", "60")
    assert reply.code == 0, reply
    assert world.history() == world.history("grpcroutes", "crowd-grpc") == [50, 100, 0]
    assert world.record().phase == "promoted"
    assert reply.out.count("the API server does not answer (cannot ") == 1
    assert reply.out.count("; waiting for it up to 60 s") == 1
    assert reply.out.count("the API server answers again, after ") == 1


def test_auto_ends_with_the_state_that_it_leaves(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outage, "LEAST_PATIENCE_SECONDS", 0.5)
    world.start()
    with Breakdown(world.api, seconds=3.0) as breakdown:
        world.moves().step(world.moves().read(), 25)
        at_request(world, "GET", "deployments/crowd-canary", breakdown.at)
        reply = world.auto("--patience-seconds", "0.7")
    assert reply.code == 2
    assert "the API server has not answered for " in reply.error
    assert "left as last read: the rollout is running, 25 % of the traffic to the canary" in reply.error
    assert world.weights() == [25, 25]


@pytest.mark.parametrize(
    "command", [["status"], ["start", "--storage-uri", NEW], ["step", "--to", "25"], ["promote"], ["abort"]]
)
def test_every_command_survives_a_short_outage(world: World, command: list[str]) -> None:
    if command[0] != "start":
        world.start()
    with Breakdown(world.api) as breakdown:
        at_request(world, "GET", "httproutes", breakdown.at)
        reply = world.rollout(command[0], "crowd", *command[1:])
    assert reply.code == 0, reply
    assert "the API server answers again, after " in reply.out


def test_command_waits_for_a_server_that_is_away_from_the_beginning(world: World) -> None:
    with Breakdown(world.api, 2.0) as breakdown:
        breakdown.now()
        reply = world.rollout("status", "crowd")
    assert reply.code == 0, reply
    assert reply.out.startswith("the API server does not answer (cannot list inferenceservices in demo: no answer (")
    assert "waiting for it up to 30 s" in reply.out


def test_refusals_of_a_starting_server_are_waited_for(world: World) -> None:
    """A server that has just started knows neither all roles nor all token issuers."""
    world.start()
    with Breakdown(world.api) as breakdown:

        def act(handler: Handler) -> bool:
            for _ in range(3):
                world.api.disturb("GET", DENIED)
            return breakdown.at(handler)

        at_request(world, "GET", "httproutes", act)
        reply = world.rollout("step", "crowd", "--to", "25")
    assert (reply.code, world.weights()) == (0, [25, 25]), reply


def test_lasting_refusal_ends_the_command(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "LEAST_PATIENCE_SECONDS", 0.5)
    world.start()

    def deny(handler: Handler) -> bool:
        world.api.disturb("PATCH", deny)
        return DENIED(handler)

    world.api.disturb("PATCH", lambda handler: not world.api.disturb("PATCH", deny) and False)
    moves = world.moves()
    before, begin = moves.read(), time.monotonic()
    with pytest.raises(ClusterError, match=r"refused: 403 .* the rights needed are in"):
        moves.step(before, 25)
    assert time.monotonic() - begin < 20.0


def test_watch_survives_an_outage(world: World) -> None:
    connected = connect(None)
    found = connected.get(DEPLOYMENT, "crowd-predictor")
    assert found
    with Breakdown(world.api) as breakdown:
        world.api.disturb("WATCH", breakdown.at)
        connected.await_change(DEPLOYMENT, found, 5.0)
        assert connected.get(DEPLOYMENT, "crowd-predictor") == found
    connected.close()


def test_time_of_an_outage_is_not_taken_from_the_time_to_get_ready(world: World) -> None:
    world.start()
    moves = world.moves()
    moves.read()
    begin, wall = moves.cluster.clock(), time.monotonic()
    with Breakdown(world.api, 2.0) as breakdown:
        breakdown.now()
        moves.read()
    assert time.monotonic() - wall >= 2.0
    assert moves.cluster.clock() - begin < 1.0


def test_outage_counts_from_the_request_that_a_hanging_server_does_not_answer(world: World) -> None:
    """One request alone takes its whole time limit, in which nothing gets ready and the user is told nothing."""
    said: list[str] = []
    connected = connect(None, say=said.append)
    connected.get(DEPLOYMENT, "crowd-predictor")
    connected._answer_seconds = 0.3
    begin = connected.clock()
    world.api.disturb("GET", delay(2.0))
    connected.get(DEPLOYMENT, "crowd-predictor")
    assert [line.partition(" (")[0].partition(",")[0] for line in said] == [
        "the API server does not answer", "the API server answers again",
    ]  # fmt: skip
    assert connected.clock() - begin < 1.0
    connected.close()


def test_gateway_that_goes_away_amid_the_golden_set_is_waited_for(world: World) -> None:
    world.start()
    with Breakdown(world.gateway, 1.5) as breakdown:
        world.gateway.on_count = lambda service: len(world.gateway.counted) == 5 and breakdown.now()
        reply = world.auto("--steps", "50,100", "--patience-seconds", "60")
    assert reply.code == 0, reply
    assert "waiting at 0 %: golden set: no service answers at " in reply.out


def test_prometheus_that_goes_away_is_waited_for(world: World) -> None:
    world.start()
    with Breakdown(world.prometheus, 1.5) as breakdown:
        at_request(world, "PATCH", "httproutes", lambda _: breakdown.now() or False)
        reply = world.auto("--steps", "50,100", "--patience-seconds", "60")
    assert reply.code == 0, reply
    assert "waiting at 50 %: errors: Prometheus at " in reply.out


@contextmanager
def encrypted(server: StoppableServer, folder: Path) -> Iterator[None]:
    """The server speaks TLS, with a certificate that nobody knows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*write_certificate(folder, "127.0.0.1"))
    server.stop()
    server.start(context)
    yield


def test_unknown_certificate_ends_the_command_at_once(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "tls-kubeconfig"
    config.write_text(yaml.safe_dump(kubeconfig(world.api.url.replace("http:", "https:"))))
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(config))
    with encrypted(world.api, tmp_path):
        begin = time.monotonic()
        reply = world.rollout("status", "crowd")
        assert reply.code == 2
        assert reply.error.startswith("the API server's certificate is not trusted (self-signed certificate)")
        assert time.monotonic() - begin < 20.0


def test_lost_answer_of_an_applied_patch_begins_no_outage(world: World) -> None:
    """Otherwise the next lost answer would count from the first one, and end the command."""
    world.start()
    moves = Actions(connect(None, patience_seconds=0.5), "crowd", lambda _: None, 5.0)
    for weight, route in ((25, "grpcroutes"), (50, "httproutes")):  # the last patch of a step, the first of the next
        at_request(world, "PATCH", route, lose_answer)
        moves.step(moves.read(), weight)
        assert world.weights() == [weight, weight]
        time.sleep(0.7)

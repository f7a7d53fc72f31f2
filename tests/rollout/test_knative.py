import pytest

from crowdserve.rollout.errors import RolloutRefused
from tests.support.cluster.api_server import Handler, Key, Object
from tests.support.cluster.cluster_objects import NEW, OLD
from tests.support.cluster.world import World

SERVICE = ("inferenceservices", "crowd")


def predictor(world: World) -> Object:
    return world.api.read(*SERVICE)["spec"]["predictor"]


@pytest.fixture
def tagged_world(knative_world: World) -> World:
    """With URLs of the two revisions, as `enable-tag-routing` gives them; the gateway serves both by header."""
    world = knative_world
    tracks = {"latestUrl": f"{world.gateway.url}/latest", "prevUrl": f"{world.gateway.url}/prev"}
    world.api.change(*SERVICE, lambda o: o["status"]["components"]["predictor"].update(tracks))
    world.gateway.paths = {"/latest": "latest", "/prev": "prev"}
    world.gateway.pods = {
        "latest": "crowd-predictor-00002-deployment-6d8c0-fghij",
        "prev": "crowd-predictor-00001-deployment-5f7c9-abcde",
    }
    return world


def observe_revisions(world: World, *, errors: int = 0) -> None:
    def observe(key: Key) -> None:
        if predictor(world).get("canaryTrafficPercent"):
            world.prometheus.observe("crowd-predictor-00001-deployment-5f7c9-abcde", 300)
            world.prometheus.observe("crowd-predictor-00002-deployment-6d8c0-fghij", 300, errors=errors)

    world.api.on_change.append(observe)


def shares(world: World) -> list[int | str]:
    return [
        operation.get("value", "removed")
        for _, _, body in world.api.patches
        for operation in body
        if operation["path"].endswith("canaryTrafficPercent")
    ]


def test_revisions_are_promoted_in_steps_and_never_split_at_100(tagged_world: World) -> None:
    tagged_world.start()
    observe_revisions(tagged_world)
    reply = tagged_world.auto()
    assert reply.code == 0, reply
    assert shares(tagged_world) == [0, 5, 25, 50, "removed"]
    assert predictor(tagged_world)["model"]["storageUri"] == NEW
    assert {service for service, _ in tagged_world.gateway.counted} == {"latest", "prev"}


def test_steps_create_no_revisions(knative_world: World) -> None:
    knative_world.start()
    for _ in range(3):
        assert knative_world.rollout("step", "crowd").code == 0
    status = knative_world.api.read(*SERVICE)["status"]["components"]["predictor"]
    assert status["latestCreatedRevision"] == "crowd-predictor-00002"


def test_step_after_an_abort_is_reverted(knative_world: World) -> None:
    knative_world.start()
    moves = knative_world.moves()
    before = moves.read()

    def abort_before_the_service_changes(handler: Handler) -> bool:
        if "inferenceservices" in handler.path:
            knative_world.moves().abort("flames")
        else:
            knative_world.api.disturb("PATCH", abort_before_the_service_changes)
        return False

    knative_world.api.disturb("PATCH", abort_before_the_service_changes)
    with pytest.raises(RolloutRefused, match=r"aborted \(flames\)"):
        moves.step(before, 5)
    assert shares(knative_world) == [0, 5, 0]


def test_worse_revision_is_aborted(tagged_world: World) -> None:
    tagged_world.start()
    observe_revisions(tagged_world, errors=30)
    reply = tagged_world.auto()
    assert reply.code == 1
    assert "errors: 10.00% of 300 requests, stable 0.00% of 300" in reply.out
    assert shares(tagged_world) == [0, 5, 0]


def test_start_after_an_abort_keeps_the_stable_revision(knative_world: World) -> None:
    knative_world.start()
    assert knative_world.rollout("abort", "crowd").code == 0
    assert knative_world.rollout("start", "crowd", "--storage-uri", "s3://models/v3").code == 0
    text = knative_world.api.read("servingruntimes", "crowd")["metadata"]["annotations"]["crowdserve.io/rollout"]
    assert OLD in text
    assert NEW not in text


def test_requests_of_the_gate_to_a_revision_are_not_those_of_the_public(tagged_world: World) -> None:
    """Its photos are a tester's also where a URL of its own leads to the canary."""
    tagged_world.start()
    address = tagged_world.moves().read().address("canary")
    assert address is not None
    assert address.url
    assert set(address.headers) == {"x-crowdserve-track"}


def test_golden_set_without_tags_gives_no_verdict(knative_world: World) -> None:
    knative_world.start()
    reply = knative_world.auto()
    assert reply.code == 3
    assert "golden set: no rule or tag leads to the canary alone" in reply.out
    assert not knative_world.gateway.counted


def test_tag_of_the_other_revision_gives_no_verdict(tagged_world: World) -> None:
    tagged_world.start()
    tagged_world.gateway.paths["/latest"] = "prev"
    reply = tagged_world.auto()
    assert reply.code == 3
    assert (
        "pod crowd-predictor-00001-deployment-5f7c9-abcde answered, expected one like crowd-predictor-00002-"
        in reply.out
    )
    assert shares(tagged_world) == [0]


def test_manual_step_to_100_percent_is_refused(knative_world: World) -> None:
    knative_world.start()
    reply = knative_world.rollout("step", "crowd", "--to", "100")
    assert (reply.code, shares(knative_world)) == (2, [0])


def test_standalone_transformer_is_refused(knative_world: World) -> None:
    knative_world.api.change(*SERVICE, lambda o: o["spec"].update(transformer={"containers": []}))
    reply = knative_world.rollout("start", "crowd", "--storage-uri", NEW)
    assert reply.code == 2
    assert "halves of the two versions mix" in reply.error

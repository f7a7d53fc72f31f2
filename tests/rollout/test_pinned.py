"""Models that are pinned by their digest: it goes wherever their address goes."""

import pytest

from tests.support.cluster.api_server import Object
from tests.support.cluster.cluster_objects import NEW, OLD, TESTERS, reconcile
from tests.support.cluster.world import World

BEFORE, AFTER = (f"sha256:{digit * 64}" for digit in "12")


def pin(world: World, name: str, digest: str) -> None:
    """Give an InferenceService a digest, as the chart does."""
    variable = {"name": "CROWDSERVE_BUNDLE_DIGEST", "value": digest}

    def change(found: Object) -> None:
        for container in readers(found):
            container["env"] = [variable, *container.get("env", [])]

    world.api.change("inferenceservices", name, change)


def readers(found: Object) -> list[Object]:
    """Triton's container, as far as it is in an InferenceService, and the transformer's."""
    predictor = found["spec"]["predictor"]
    return [predictor["model"], *predictor["containers"]]


def digests(world: World, name: str) -> list[str]:
    """The digests that Triton and the transformer of a track compare with."""
    found = readers(world.api.read("inferenceservices", name))
    variables = [variable for each in found for variable in each.get("env", [])]
    return [each["value"] for each in variables if each["name"] == "CROWDSERVE_BUNDLE_DIGEST"]


@pytest.fixture
def pinned(world: World) -> World:
    """A release whose values have storage.digest."""
    for name in ("crowd", "crowd-canary"):
        pin(world, name, BEFORE)
        reconcile(world.api, name)
    return world


def test_start_changes_address_and_digest_in_one_patch(pinned: World) -> None:
    reply = pinned.rollout("start", "crowd", "--storage-uri", NEW, "--digest", AFTER)
    assert reply.code == 0
    assert digests(pinned, "crowd-canary") == [AFTER] * 2
    assert digests(pinned, "crowd") == [BEFORE] * 2
    assert len([patch for patch in pinned.api.patches if "storageUri" in str(patch)]) == 1
    assert f"--set-string canary.storageUri={NEW} --set-string canary.storageDigest={AFTER}" in reply.out


def test_digest_without_its_prefix_is_the_same(pinned: World) -> None:
    assert pinned.rollout("start", "crowd", "--storage-uri", NEW, "--digest", AFTER.removeprefix("sha256:")).code == 0
    assert digests(pinned, "crowd-canary") == [AFTER] * 2


def test_promotion_takes_the_digest_to_stable(pinned: World) -> None:
    pinned.rollout("start", "crowd", "--storage-uri", NEW, "--digest", AFTER)
    reconcile(pinned.api, "crowd-canary")
    reply = pinned.rollout("promote", "crowd")
    assert reply.code == 0, reply.error
    assert digests(pinned, "crowd") == [AFTER] * 2
    last = reply.out.splitlines()[-1]
    assert f"--set-string storage.uri={NEW} --set-string storage.digest={AFTER}" in last
    assert "--set-string canary.storageDigest=" in last
    assert digests(pinned, "crowd-canary") == [AFTER] * 2


def test_abort_clears_the_digest_of_the_next_canary(pinned: World) -> None:
    pinned.rollout("start", "crowd", "--storage-uri", NEW, "--digest", AFTER)
    reply = pinned.rollout("abort", "crowd")
    assert digests(pinned, "crowd") == [BEFORE] * 2
    assert reply.out.splitlines()[-1].endswith("--set-string canary.storageDigest=")


def test_other_models_without_their_digest_are_refused(pinned: World) -> None:
    reply = pinned.rollout("start", "crowd", "--storage-uri", NEW)
    assert reply.code == 2
    assert "pin the models of release 'crowd' by their digest (storage.digest): give that of s3://models/v2" in (
        reply.error
    )
    assert not pinned.api.patches


@pytest.mark.parametrize("digest", ["sha256:12", "0" * 63, "0" * 65, "SHA256:" + "0" * 64, ""])
def test_digest_that_is_none_is_refused(world: World, digest: str) -> None:
    reply = world.rollout("start", "crowd", "--storage-uri", NEW, "--digest", digest)
    assert reply.code == 2
    assert "--digest is" in reply.error
    assert not world.api.patches


def test_release_without_digests_is_not_pinned_by_a_rollout(world: World) -> None:
    reply = world.rollout("start", "crowd", "--storage-uri", NEW)
    assert reply.code == 0
    assert "igest" not in reply.out.replace("image.digest", "")
    assert digests(world, "crowd-canary") == []


def test_unpinned_release_can_be_pinned_by_its_next_models(world: World) -> None:
    world.rollout("start", "crowd", "--storage-uri", NEW, "--digest", AFTER)
    reconcile(world.api, "crowd-canary")
    assert world.rollout("promote", "crowd").code == 0
    assert digests(world, "crowd") == [AFTER] * 2


def test_release_that_compares_no_digest_is_told_apart(world: World) -> None:
    """One of an older chart, or with verifyBundle off."""
    world.api.create("servingruntimes", runtime("crowd-canary", "exec tritonserver"))
    reply = world.rollout("start", "crowd", "--storage-uri", NEW, "--digest", AFTER)
    assert reply.code == 2
    assert "compares no digest: upgrade its chart" in reply.error
    assert world.rollout("start", "crowd", "--storage-uri", NEW).code == 0


def test_release_that_compares_digests_takes_one(world: World) -> None:
    world.api.create("servingruntimes", runtime("crowd-canary", "digest=${CROWDSERVE_BUNDLE_DIGEST-}"))
    assert world.rollout("start", "crowd", "--storage-uri", NEW, "--digest", AFTER).code == 0


def runtime(name: str, script: str) -> Object:
    return {"metadata": {"name": name}, "spec": {"containers": [{"image": "triton", "args": ["sh", "-c", script]}]}}


def test_record_of_an_unpinned_rollout_has_no_digest(world: World) -> None:
    """Commands of 0.2.0 refuse what they do not know."""
    world.rollout("start", "crowd", "--storage-uri", NEW)
    record = world.api.read("httproutes", "crowd")["metadata"]["annotations"]["crowdserve.io/rollout"]
    assert OLD in record
    assert "digest" not in record


def test_knative_revision_gets_address_and_digest_at_once(knative_world: World) -> None:
    """Each patch of the InferenceService makes a revision."""
    pin(knative_world, "crowd", BEFORE)
    assert knative_world.rollout("start", "crowd", "--storage-uri", NEW).code == 2
    assert knative_world.rollout("start", "crowd", "--storage-uri", NEW, "--digest", AFTER).code == 0
    assert digests(knative_world, "crowd") == [AFTER] * 2
    patches = [patch for patch in knative_world.api.patches if "storageUri" in str(patch) or AFTER in str(patch)]
    assert len([patch for patch in patches if "CROWDSERVE_BUNDLE_DIGEST" in str(patch)]) == 1


def test_testers_value_of_the_header_is_read_from_the_route(world: World) -> None:
    address = world.moves().read().address("canary")
    assert address is not None
    assert address.headers == {"x-crowdserve-track": TESTERS}


def test_requests_of_the_gate_to_stable_are_not_those_of_the_public(world: World) -> None:
    address = world.moves().read().address("stable")
    assert address is not None
    assert set(address.headers) == {"x-crowdserve-track"}

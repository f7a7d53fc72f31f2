"""Start, step, promote and abort: their changes and refusals."""

from tests.support.cluster.api_faults import first
from tests.support.cluster.api_server import Key, Object
from tests.support.cluster.cluster_objects import IMAGE, NEW, OLD, reconcile, set_status
from tests.support.cluster.world import World

CANARY_PODS = "crowd-canary-predictor"


def predictor(world: World, name: str) -> Object:
    return world.api.read("inferenceservices", name)["spec"]["predictor"]


def test_start_gives_the_canary_its_version_and_no_traffic(world: World) -> None:
    world.api.change("httproutes", "crowd", lambda o: o["spec"]["rules"][1]["backendRefs"][1].update(weight=10))
    image = IMAGE.replace("1.0.0", "2.0.0")
    reply = world.rollout("start", "crowd", "--storage-uri", NEW, "--image", image)
    assert reply.code == 0
    assert predictor(world, "crowd-canary")["model"]["storageUri"] == NEW
    (container,) = predictor(world, "crowd-canary")["containers"]
    assert container["image"] == image
    assert container["env"] == [{"name": "A", "value": "b"}, {"name": "STORAGE_URI", "value": NEW}]
    assert predictor(world, "crowd")["model"]["storageUri"] == OLD
    assert world.weights() == [0, 0]


def set_uri(world: World, name: str, uri: str) -> None:
    change = {"storageUri": uri}
    world.api.change("inferenceservices", name, lambda o: o["spec"]["predictor"]["model"].update(change))


def test_start_uses_the_version_of_the_chart(world: World) -> None:
    set_uri(world, "crowd-canary", NEW)
    assert world.rollout("start", "crowd").code == 0
    assert world.record().canary.storage_uri == NEW


def test_start_refuses_the_version_that_stable_runs(world: World) -> None:
    reply = world.rollout("start", "crowd")
    assert reply.code == 2
    assert reply.error.startswith(f"stable already runs {OLD}, {IMAGE}")
    assert not world.api.patches


def test_start_refuses_an_image_of_another_repository(world: World) -> None:
    image = "other.example:5000/elsewhere:2"
    reply = world.rollout("start", "crowd", "--storage-uri", NEW, "--image", image)
    assert reply.code == 2
    assert "is of the repository other.example:5000/elsewhere, stable's of " in reply.error
    assert not world.api.patches
    digest = f"{IMAGE.rpartition(':')[0]}@sha256:{'0' * 64}"
    assert world.rollout("start", "crowd", "--storage-uri", NEW, "--image", digest).code == 0


def test_second_start_is_refused_unless_equal_to_the_first(world: World) -> None:
    world.start()
    reply = world.rollout("start", "crowd", "--storage-uri", "s3://models/v3")
    assert reply.code == 2
    assert "is running, 0 % of the traffic to the canary; abort or promote it first" in reply.error

    set_uri(world, "crowd-canary", OLD)
    world.start()
    assert predictor(world, "crowd-canary")["model"]["storageUri"] == NEW


def test_step_sets_the_next_or_the_requested_share(world: World) -> None:
    world.start()
    assert world.rollout("step", "crowd").code == 0
    assert world.weights() == [5, 5]
    assert world.rollout("step", "crowd", "--to", "33").code == 0
    assert world.weights() == [33, 33]
    assert world.api.read("httproutes", "crowd")["spec"]["rules"][1]["backendRefs"][0]["weight"] == 67
    assert world.rollout("step", "crowd", "--steps", "5,25").error.startswith("the canary has 33 %, the last of")


def test_step_needs_a_rollout(world: World) -> None:
    assert "is idle" in world.rollout("step", "crowd").error
    assert not world.api.patches


def test_promote_needs_a_canary_that_is_ready(world: World) -> None:
    world.start()
    set_status(world.api, CANARY_PODS, available=0)
    reply = world.rollout("promote", "crowd")
    assert reply.code == 2
    assert "has 0 of 2 replicas available; promote once it is" in reply.error
    assert world.weights() == [0, 0]


def test_promote_refuses_a_canary_with_fewer_replicas_than_stable(world: World) -> None:
    world.start()
    assert world.rollout("step", "crowd", "--to", "50").code == 0
    set_status(world.api, CANARY_PODS, available=1)
    reason = "the canary would answer everything while stable takes its version, with 1 predictor replicas against 2"
    reply = world.rollout("promote", "crowd")
    assert (reply.code, world.weights()) == (2, [50, 50])
    assert reply.error.startswith(f"{reason}: let it show that it can")
    assert f"would refuse: {reason}" in world.rollout("promote", "crowd", "--dry-run").out

    assert world.rollout("step", "crowd", "--to", "100").code == 0
    assert world.rollout("promote", "crowd").code == 0  # it has already served all traffic


def test_started_promotion_finishes_with_any_replicas(world: World) -> None:
    world.start()
    world.api.on_change[0] = lambda key: None
    assert world.rollout("promote", "crowd", "--ready-seconds", "0").code == 2
    reconcile(world.api, "crowd")
    set_status(world.api, CANARY_PODS, available=1)
    assert world.rollout("promote", "crowd").code == 0


def test_promote_refuses_a_canary_with_another_triton(world: World) -> None:
    world.start()
    for name, tag in (("crowd", "26.05"), ("crowd-canary", "26.06")):
        containers = [{"name": "kserve-container", "image": f"tritonserver:{tag}"}]
        world.api.create("servingruntimes", {"metadata": {"name": name}, "spec": {"containers": containers}})
    reply = world.rollout("promote", "crowd")
    assert reply.code == 2
    assert "another Triton (tritonserver:26.06) than stable (tritonserver:26.05)" in reply.error
    assert world.weights() == [0, 0]


def build_plans(world: World) -> None:
    """Each track's models as a plan builder's Job leaves them, the canary's of the new bundle."""
    for name, source in (("crowd", OLD), ("crowd-canary", NEW)):
        metadata = {"name": name, "annotations": {"crowdserve.io/models-source": source}}
        world.api.create("servingruntimes", {"metadata": metadata, "spec": {"containers": [{"image": "triton"}]}})
        set_uri(world, name, f"pvc://plans/crowd-of-{source[-2:]}")
        reconcile(world.api, name)


def test_promote_takes_over_plans_and_names_their_bundle(world: World) -> None:
    build_plans(world)
    assert f"--set-string canary.storageUri={NEW} " in world.rollout("start", "crowd").out
    reply = world.rollout("promote", "crowd")
    assert reply.code == 0, reply
    assert predictor(world, "crowd")["model"]["storageUri"] == "pvc://plans/crowd-of-v2"
    assert f"--set-string storage.uri={NEW} --set canary.enabled=false" in reply.out.splitlines()[-1]


def test_start_refuses_models_without_plans(world: World) -> None:
    build_plans(world)
    reply = world.rollout("start", "crowd", "--storage-uri", "s3://models/v3")
    assert reply.code == 2
    assert "--set-string canary.storageUri=s3://models/v3), then start without --storage-uri" in reply.error
    assert not world.api.patches


def test_promote_waits_for_every_replica_of_stable(world: World) -> None:
    world.start()
    woken = []

    def slow_controller(key: Key) -> None:
        if key == ("inferenceservices", "demo", "crowd"):
            reconcile(world.api, "crowd", available=1)
            world.api.disturb("WATCH", first(lambda: (woken.append(world.weights()), reconcile(world.api, "crowd"))))

    world.api.on_change[0] = slow_controller
    assert world.rollout("promote", "crowd").code == 0
    assert woken == [[100, 100]]  # the canary had all traffic until stable was restored
    assert world.weights() == [0, 0]


def test_abort_during_promotion_restores_stable_before_its_traffic(world: World) -> None:
    world.start()
    world.api.on_change[0] = lambda key: None
    assert world.rollout("promote", "crowd", "--ready-seconds", "0").code == 2
    assert predictor(world, "crowd")["model"]["storageUri"] == NEW

    weights = []
    world.api.on_change[0] = lambda key: (
        (weights.append(world.weights()), reconcile(world.api, key[2])) if key[0] == "inferenceservices" else None
    )
    assert world.rollout("abort", "crowd", "--reason", "second thoughts").code == 0
    assert predictor(world, "crowd")["model"]["storageUri"] == OLD
    assert weights == [[100, 100]]
    assert world.weights() == [0, 0]
    assert world.record().reason == "second thoughts"


def test_abort_prints_how_to_free_the_resources_of_the_canary(world: World) -> None:
    world.start()
    last = world.rollout("abort", "crowd").out.splitlines()[-1]
    assert last.startswith("remove the canary once you have seen enough of it (with Helm 4 add --force-conflicts): ")
    assert "helm upgrade crowd CHART --namespace demo --reuse-values --set canary.enabled=false " in last


def test_abort_without_a_rollout_changes_nothing(world: World) -> None:
    assert world.rollout("abort", "crowd").out.startswith("nothing to abort: the rollout is idle")
    assert not world.api.patches


def test_abort_removes_traffic_set_by_hand(world: World) -> None:
    world.api.change("grpcroutes", "crowd-grpc", lambda o: o["spec"]["rules"][0]["backendRefs"][1].update(weight=10))
    assert world.rollout("abort", "crowd").code == 0
    assert world.weights() == [0, 0]


def test_pods_are_replaced_only_by_a_new_version(world: World) -> None:
    """KServe copies annotations of an InferenceService to its pods: none may change with the rollout."""
    before = [
        world.api.read("deployments", f"{name}-predictor")["spec"]["template"] for name in ("crowd", "crowd-canary")
    ]
    set_uri(world, "crowd-canary", NEW)
    assert world.rollout("start", "crowd").code == 0
    assert world.rollout("step", "crowd").code == 0
    assert world.rollout("abort", "crowd").code == 0
    after = [
        world.api.read("deployments", f"{name}-predictor")["spec"]["template"] for name in ("crowd", "crowd-canary")
    ]
    assert after == before
    assert not [plural for plural, _, _ in world.api.patches if plural == "inferenceservices"]

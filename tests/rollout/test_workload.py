import pytest

from crowdserve.rollout.workload import Workload, unready
from tests.support.cluster.cluster_objects import reconcile, set_status
from tests.support.cluster.world import World


def set_ready(world: World, status: str, message: str = "") -> None:
    condition = {"type": "Ready", "status": status, "message": message}
    world.api.change("inferenceservices", "crowd", lambda o: o["status"].update(conditions=[condition]))


def ask(world: World, *, whole: bool = False) -> str | None:
    return unready(world.moves().cluster, Workload(world.api.read("inferenceservices", "crowd")), whole=whole)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ({"available": 2}, None),
        ({"available": 1}, None),  # it is being scaled up: one replica serves
        ({"available": 0}, "Deployment crowd-predictor has 0 of 2 replicas available"),
        ({"available": 2, "updated": 1}, "Deployment crowd-predictor still has pods of an earlier version"),
    ],
)
def test_readiness_comes_from_the_deployment(world: World, status: dict[str, int], reason: str | None) -> None:
    set_status(world.api, "crowd-predictor", **status)
    assert ask(world) == reason


@pytest.mark.parametrize(
    ("args", "model"),
    [
        (["--http_port", "8080", "--model_name", "people"], "people"),
        (["--model-name=people", "--http_port", "8080"], "people"),
        (["--http_port", "8080"], "crowdserve"),
        ([], "crowdserve"),
    ],
)
def test_model_name_comes_from_the_transformer_flags(world: World, args: list[str], model: str) -> None:
    found = world.api.read("inferenceservices", "crowd")
    (container,) = found["spec"]["predictor"]["containers"]
    container["args"] = args
    assert Workload(found).model == model
    container["name"] = "kserve-container"
    found["spec"] = {"predictor": {}, "transformer": found["spec"]["predictor"]}
    assert Workload(found).model == model


def test_all_replicas_can_be_required(world: World) -> None:
    set_status(world.api, "crowd-predictor", available=1)
    assert ask(world, whole=True) == "Deployment crowd-predictor has 1 of 2 replicas available"


def test_unobserved_generation_is_not_ready(world: World) -> None:
    world.api.change("deployments", "crowd-predictor", lambda o: o["spec"].update(replicas=3))
    assert ask(world) == "Deployment crowd-predictor has not begun its last change yet"
    reconcile(world.api, "crowd")
    world.api.change(
        "inferenceservices", "crowd", lambda o: o["spec"]["predictor"]["containers"][0].update(image="i:2")
    )
    assert ask(world) == "Deployment crowd-predictor does not have the new version yet"
    world.api.delete("deployments", "crowd-predictor")
    assert ask(world) == "Deployment crowd-predictor does not exist yet"


def test_scaling_up_is_no_loss_of_readiness(world: World) -> None:
    """KServe then says Ready False, as the Deployment has fewer replicas than it should; one that serves is enough."""
    set_ready(world, "False", "Deployment does not have minimum availability.")
    set_status(world.api, "crowd-predictor", available=1)
    assert ask(world) is None
    assert ask(world, whole=True) == "Deployment crowd-predictor has 1 of 2 replicas available"


def test_generation_that_kserve_never_observes_is_not_waited_for(world: World) -> None:
    """KServe 0.20 leaves observedGeneration behind where the transformer is standalone."""
    world.api.change("inferenceservices", "crowd", lambda o: o["status"].update(observedGeneration=0))
    assert ask(world) is None


def test_kserve_says_why_there_is_no_deployment(world: World) -> None:
    set_ready(world, "False", "no ServingRuntime of that name")
    world.api.delete("deployments", "crowd-predictor")
    assert ask(world) == "Deployment crowd-predictor does not exist yet (no ServingRuntime of that name)"


def test_knative_readiness_comes_from_kserve(knative_world: World) -> None:
    set_ready(knative_world, "False", "no GPU left")
    assert ask(knative_world) == "crowd is not ready (no GPU left)"
    set_ready(knative_world, "True")
    knative_world.api.change("inferenceservices", "crowd", lambda o: o["status"].update(observedGeneration=0))
    assert ask(knative_world) == "crowd: KServe has not seen its last change yet"

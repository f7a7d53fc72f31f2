"""The printed `helm upgrade` commands with the real helm: `helm template` merges values as --reuse-values does."""

import shlex
from itertools import pairwise

import pytest
import yaml

from crowdserve.rollout.resources import Object
from tests.support.cluster.cluster_objects import IMAGE, NEW
from tests.support.cluster.world import World
from tests.support.rendering import Chart, Manifests

REPOSITORY = IMAGE.rpartition(":")[0]
OF_AN_EARLIER_CANARY = {
    "storageUri": "s3://models/v0",
    "triton": {"image": {"tag": "26.01-py3", "digest": f"sha256:{'7' * 64}"}},
    "transformer": {"image": {"tag": "0.9.0", "digest": f"sha256:{'9' * 64}"}},
}


def flags(output: str) -> list[str]:
    """`--set` and `--set-string`, with their values, of the command in the last line."""
    words = shlex.split(output.splitlines()[-1])
    return [word for pair in pairwise(words) if pair[0] in {"--set", "--set-string"} for word in pair]


def upgraded(chart: Chart, output: str, *more: str, **values: object) -> Manifests:
    """What the chart renders once the printed command has run on a release with an earlier canary's values."""
    image = {"repository": REPOSITORY, "tag": "1.0.0"}
    base = {"storage": {"uri": "s3://models/v1"}, "transformer": {"image": image}, "canary": OF_AN_EARLIER_CANARY}
    options = ["--values", "ci/canary-values.yaml", "--values", "-", *flags(output), *more]
    done = chart.run("template", "crowd", ".", *options, text=yaml.safe_dump(base | values))
    assert done.returncode == 0, done.stderr
    return Manifests(each for each in yaml.safe_load_all(done.stdout) if each)


def runs(manifests: Manifests, name: str) -> tuple[str, str]:
    """Bundle and transformer of a track."""
    uri = manifests.one("InferenceService", name)["spec"]["predictor"]["model"]["storageUri"]
    return uri, manifests.transformer(name)["image"]


def give_image(world: World, image: str) -> None:
    def change(found: Object) -> None:
        found["spec"]["predictor"]["containers"][0]["image"] = image

    for name in ("crowd", "crowd-canary"):
        world.api.change("inferenceservices", name, change)


@pytest.mark.parametrize(
    "image",
    [IMAGE, f"{REPOSITORY}:2.0.0", f"{REPOSITORY}:20260105", f"{REPOSITORY}:1e5", f"{REPOSITORY}@sha256:{'2' * 64}"],
)
def test_start_and_promote_print_values_of_the_running_versions(world: World, chart: Chart, image: str) -> None:
    started = world.rollout("start", "crowd", "--storage-uri", NEW, "--image", image)
    assert runs(upgraded(chart, started.out), "crowd-canary") == (NEW, image)
    promoted = world.rollout("promote", "crowd")
    after = upgraded(chart, promoted.out)
    assert runs(after, "crowd") == (NEW, image)
    assert [each["metadata"]["name"] for each in after.all("InferenceService")] == ["crowd"]


@pytest.mark.parametrize("end", ["promote", "abort"])
def test_values_reset_the_canary(world: World, chart: Chart, end: str) -> None:
    assert world.rollout("start", "crowd", "--image", f"{REPOSITORY}:2.0.0").code == 0
    printed = world.rollout(end, "crowd").out
    again = upgraded(chart, printed, "--set", "canary.enabled=true")
    assert runs(again, "crowd-canary") == runs(again, "crowd")
    assert again.triton("crowd-canary") == again.triton("crowd")
    assert runs(again, "crowd")[1] == f"{REPOSITORY}:{'2.0.0' if end == 'promote' else '1.0.0'}"


def test_promoted_tag_clears_the_digest(world: World, chart: Chart) -> None:
    give_image(world, f"{REPOSITORY}@sha256:{'1' * 64}")
    assert world.rollout("start", "crowd", "--image", f"{REPOSITORY}:2.0.0").code == 0
    pinned = {"repository": REPOSITORY, "digest": f"sha256:{'1' * 64}"}
    after = upgraded(chart, world.rollout("promote", "crowd").out, transformer={"image": pinned})
    assert after.transformer("crowd")["image"] == f"{REPOSITORY}:2.0.0"


def test_image_shared_by_both_tracks_stays_in_the_stable_values(world: World, chart: Chart) -> None:
    world.start()
    promoted = world.rollout("promote", "crowd").out
    assert "--set-string transformer.image" not in promoted
    assert upgraded(chart, promoted).transformer("crowd")["image"] == IMAGE


def test_promoted_bundle_replaces_a_bundle_on_a_claim(world: World, chart: Chart) -> None:
    def move_to_claim(found: Object) -> None:
        found["spec"]["predictor"]["model"]["storageUri"] = "pvc://models/v1"

    world.api.change("inferenceservices", "crowd", move_to_claim)
    claim = {"storage": {"uri": "", "existingClaim": {"name": "models", "path": "v1"}}}
    started = world.rollout("start", "crowd", "--storage-uri", NEW)
    assert runs(upgraded(chart, started.out, **claim), "crowd")[0] == "pvc://models/v1"
    promoted = world.rollout("promote", "crowd")
    assert runs(upgraded(chart, promoted.out, **claim), "crowd")[0] == NEW


def test_comma_in_a_storage_uri_is_escaped(world: World, chart: Chart) -> None:
    uri = "https://models.example.com/a,b=c/v2.tar?x=1&y=2"
    started = world.rollout("start", "crowd", "--storage-uri", uri)
    assert runs(upgraded(chart, started.out), "crowd-canary")[0] == uri


def test_helm_command_takes_over_the_fields_of_the_rollout(world: World) -> None:
    printed = [world.rollout("start", "crowd", "--storage-uri", NEW).out, world.rollout("promote", "crowd").out]
    for output in printed:
        command = output.splitlines()[-1].partition("(with Helm 4 add --force-conflicts): ")[2]
        assert command.startswith("helm upgrade crowd CHART --namespace demo --reuse-values --set")

"""Names within the limits of Kubernetes and KServe, distinct between releases."""

import re

import pytest

from tests.support.rendering import Chart, Manifests

LONG = "crowd-counting-for-the-stadium-in-berlin"  # 40 characters
KSERVE_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")


def names(manifests: Manifests) -> set[tuple[str, str]]:
    """Names of all objects created in the namespace, including KServe's Services and Deployments."""
    made = {(each["kind"], each["metadata"]["name"]) for each in manifests}
    services = [each["metadata"]["name"] for each in manifests.all("InferenceService")]
    return made | {("Service", name + end) for name in services for end in ("", "-predictor", "-transformer")}


@pytest.mark.parametrize("base", ["canary", "knative", "tensorrt-job"])
def test_release_name_of_40_characters_fits(chart: Chart, base: str) -> None:
    manifests = chart.render(base, release=LONG)
    assert len(LONG) == 40
    for service in manifests.all("InferenceService"):
        assert len(service["metadata"]["name"]) <= 40
        assert KSERVE_NAME.fullmatch(service["metadata"]["name"])
    assert all(len(name) <= 63 for _, name in names(manifests))


def test_long_names_with_a_common_prefix_stay_distinct(chart: Chart) -> None:
    one, other = (chart.render("canary", release=f"{LONG[:39]}{end}") for end in "ab")
    assert not names(one) & names(other)


@pytest.mark.parametrize(("one", "other"), [("a", "b"), ("prod", "prod-crowdserve"), ("a", "a-grpc"), ("a", "a-test")])
def test_two_releases_in_a_namespace_do_not_collide(chart: Chart, one: str, other: str) -> None:
    full = {"extraObjects": []}
    first, second = (chart.render("everything", release=name, fullnameOverride="", **full) for name in (one, other))
    assert not names(first) & names(second)
    selectors = [
        each["spec"]["selector"]["matchLabels"]["app.kubernetes.io/instance"]
        for each in (*first.all("PodDisruptionBudget"), *first.all("PodMonitor"))
    ]
    assert set(selectors) == {one}


def test_name_defaults_to_the_release(chart: Chart) -> None:
    assert chart.render(release="prod").one("InferenceService")["metadata"]["name"] == "prod"
    chosen = chart.render(release="prod", fullnameOverride="counting")
    assert chosen.one("InferenceService")["metadata"]["name"] == "counting"
    assert chosen.one("InferenceService")["metadata"]["labels"]["app.kubernetes.io/instance"] == "prod"


@pytest.mark.parametrize("release", ["1st", "a.b"])
def test_name_invalid_for_kserve_is_refused(chart: Chart, release: str) -> None:
    assert "set fullnameOverride" in chart.refusal(release=release)


@pytest.mark.parametrize("release", ["a-canary", "a-predictor", "a-transformer"])
def test_name_derived_by_another_release_is_refused(chart: Chart, release: str) -> None:
    assert "derive from another release's" in chart.refusal(release=release)

"""`helm lint` reports nothing, and every installed object has the chart's labels."""

import pytest

from tests.support.rendering import CI, Chart, Manifests

WANTED = {
    "default", "cpu", "standalone", "knative", "canary", "keda", "pvc", "s3", "tensorrt-job", "everything", "openshift",
    "limitrange", "resourcequota", "spot", "mig", "time-slicing",
}  # fmt: skip


def test_ci_values_cover_every_way_to_install() -> None:
    assert set(CI) >= WANTED


@pytest.mark.parametrize("name", CI)
def test_lint_is_clean(chart: Chart, name: str) -> None:
    done = chart.run("lint", "--strict", ".", "--values", f"ci/{name}-values.yaml")
    assert done.returncode == 0, done.stdout
    assert not [line for line in done.stdout.splitlines() if line.startswith(("[WARNING]", "[ERROR]"))]


def test_every_object_carries_the_labels_of_the_release(manifests: Manifests) -> None:
    for found in manifests:
        if found["metadata"]["name"].endswith(("-notes", "-limits", "-quota")):
            continue  # an extra object, the operator's own
        labels = found["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == "crowdserve"
        assert labels["app.kubernetes.io/instance"] == "rel"
        assert labels.get("crowdserve.io/track", "stable") in {"stable", "canary"}


def test_no_two_objects_have_the_same_name(manifests: Manifests) -> None:
    names = [(found["kind"], found["metadata"]["name"]) for found in manifests]
    assert len(set(names)) == len(names)


def test_pods_do_not_restart_for_a_new_chart_version(manifests: Manifests) -> None:
    """KServe copies labels and annotations of an InferenceService to its pods."""
    for service in manifests.all("InferenceService"):
        inherited = {**service["metadata"]["labels"], **service["metadata"]["annotations"]}
        assert not {"helm.sh/chart", "app.kubernetes.io/version"} & set(inherited)


@pytest.mark.parametrize("name", CI)
def test_notes_match_the_installed_components(chart: Chart, name: str) -> None:
    done = chart.run(
        "install", "rel", ".", "--namespace", "ns", "--dry-run=client", "--values", f"ci/{name}-values.yaml"
    )
    assert done.returncode == 0, done.stderr
    notes = done.stdout.partition("NOTES:")[2]
    assert "helm --namespace ns test rel" in notes
    assert ("crowdserve rollout" in notes) == (name in {"canary", "everything", "knative"})
    assert ("no authentication" in notes) == (name in {"canary", "console", "everything", "knative"})

"""The Job that builds model.plan files. Its script runs with a stand-in for trtexec, which needs a GPU."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from crowdserve.bundle.manifest import Manifest, describe_files
from crowdserve.cards import CARDS
from crowdserve.triton.config import shape_range
from tests.support.rendering import CHART, Chart, Object

TRTEXEC = """#!/bin/sh
echo "$@" >> {log}
for flag in "$@"; do case $flag in --saveEngine=*) echo plan > "${{flag#--saveEngine=}}" ;; esac; done
{end}
"""


Build = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def build(chart: Chart, tmp_path: Path) -> Build:
    """Run the Job's script on a bundle in tmp_path/source, into tmp_path/plans."""
    args = chart.render("tensorrt-job").one("Job")["spec"]["template"]["spec"]["containers"][0]["args"]
    for name in CARDS:
        (tmp_path / "source" / name / "1").mkdir(parents=True)
        (tmp_path / "source" / name / "1" / "model.onnx").write_text(name)
    manifest = Manifest("0.2.0", "tensorrt", dict.fromkeys(CARDS, (1,)), describe_files(tmp_path / "source"))
    (tmp_path / "source" / "manifest.json").write_bytes(manifest.to_bytes())

    def run(end: str = "") -> subprocess.CompletedProcess[str]:
        program = tmp_path / "trtexec"
        program.write_text(TRTEXEC.format(log=tmp_path / "log", end=end))
        program.chmod(0o755)
        moved = [each.replace("/source", f"{tmp_path}/source").replace("/plans", f"{tmp_path}/plans") for each in args]
        (tmp_path / "plans").mkdir(exist_ok=True)
        environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        return subprocess.run([*args[:3], *moved[3:]], env=environment, capture_output=True, text=True, timeout=60)

    return run


def plans(folder: Path) -> list[Path]:
    return sorted((folder / "plans").rglob("*.plan"))


def test_job_builds_a_plan_per_network_for_the_shapes_of_its_card(tmp_path: Path, build: Build) -> None:
    done = build()
    assert done.returncode == 0, done.stderr
    calls = (tmp_path / "log").read_text().splitlines()
    assert len(calls) == len(CARDS)
    for call, card in zip(calls, CARDS.values(), strict=True):
        shapes = shape_range(card)
        for flag, shape in (("min", shapes.smallest), ("opt", shapes.typical), ("max", shapes.largest)):
            assert f"--{flag}Shapes={card.input.name}:{'x'.join(map(str, shape))}" in call.split()
        assert f"/{card.name}/1/model.onnx" in call
        assert {"--fp16", "--memPoolSize=workspace:2048"} <= set(call.split())
    assert [plan.parts[-3] for plan in plans(tmp_path)] == sorted(CARDS)
    assert [path.name for path in (tmp_path / "plans").rglob("manifest.json")] == ["manifest.json"]


def test_second_run_builds_nothing(tmp_path: Path, build: Build) -> None:
    build()
    calls = (tmp_path / "log").read_text()
    done = build("exit 1")
    assert "is complete" in done.stdout
    assert done.returncode == 0
    assert (tmp_path / "log").read_text() == calls


def test_interrupted_run_leaves_no_partial_plan_and_resumes(tmp_path: Path, build: Build) -> None:
    assert build("grep -c . " + str(tmp_path / "log") + " | grep -qv 2").returncode != 0  # the second call fails
    assert len(plans(tmp_path)) == 1
    assert build().returncode == 0
    assert len(plans(tmp_path)) == len(CARDS)
    assert not list((tmp_path / "plans").rglob("*.partial"))
    assert len((tmp_path / "log").read_text().splitlines()) == len(CARDS) + 1


def test_source_without_a_bundle_is_reported(tmp_path: Path, build: Build) -> None:
    (tmp_path / "source" / "vgg16" / "1" / "model.onnx").unlink()
    done = build()
    assert done.returncode != 0
    assert "vgg16/1/model.onnx: FAILED" in done.stderr
    assert not (tmp_path / "log").exists()


def test_source_is_verified_before_a_plan_is_built_from_it(tmp_path: Path, build: Build) -> None:
    (tmp_path / "source" / "vgg16" / "1" / ".model.py").touch()
    done = build()
    assert done.returncode != 0
    assert "does not list: vgg16/1/.model.py" in done.stderr
    assert not (tmp_path / "log").exists()


def test_job_compares_digest_and_signature_of_its_bundle(chart: Chart) -> None:
    key = "-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----"
    values = {"storage": {"digest": "4" * 64, "publicKey": key}}
    (job,) = chart.render("tensorrt-job", **values).one("Job")["spec"]["template"]["spec"]["containers"]
    script = job["args"][2]
    assert f"digest=sha256:{'4' * 64} " in script
    assert f"<<'KEY'\n{key}\nKEY\n" in script
    off = {"transformer": {"settings": {"verifyBundle": "off"}}}
    assert "manifest.json" not in str(chart.render("tensorrt-job", **off).one("Job"))


def test_job_records_the_plans_that_it_built(tmp_path: Path, build: Build) -> None:
    assert build().returncode == 0
    (folder,) = (tmp_path / "plans").iterdir()
    done = subprocess.run(["sha256sum", "--check", "plans.sha256"], cwd=folder, capture_output=True, text=True)
    assert done.stdout.splitlines() == [f"{name}/1/model.plan: OK" for name in sorted(CARDS)]


def test_service_mounts_the_plans_of_the_job(chart: Chart) -> None:
    manifests = chart.render("tensorrt-job")
    pod = manifests.one("Job")["spec"]["template"]["spec"]
    (folder,) = (each.removeprefix("/plans/") for each in pod["containers"][0]["args"] if each.startswith("/plans/"))
    model = manifests.one("InferenceService")["spec"]["predictor"]["model"]
    assert model["storageUri"] == f"pvc://plans/{folder}"
    assert {"name": "plans", "persistentVolumeClaim": {"claimName": "plans"}} in pod["volumes"]
    (other,) = (
        each["spec"]["predictor"]["model"]["storageUri"]
        for each in chart.render("tensorrt-job", planBuilder={"image": {"tag": "26.06-py3"}}).all("InferenceService")
    )
    assert other != model["storageUri"]  # plans of another TensorRT never replace those in use


def test_release_without_the_job_serves_existing_plans(chart: Chart) -> None:
    """An upgrade then needs no free GPU."""
    without = chart.render("tensorrt-job", planBuilder={"job": {"enabled": False}})
    assert not without.all("Job")
    both = [
        each.one("InferenceService")["spec"]["predictor"]["model"] for each in (without, chart.render("tensorrt-job"))
    ]
    assert both[0]["storageUri"] == both[1]["storageUri"]


@pytest.mark.parametrize(
    ("placement", "builds_anew"),
    [
        ({"nodeSelector": {"nvidia.com/gpu.product": "NVIDIA-L4"}}, True),
        ({"affinity": {"nodeAffinity": {}}}, True),
        ({"runtimeClassName": "nvidia"}, True),
        ({"tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}], "labels": {"team": "vision"}}, False),
    ],
)
def test_plans_are_keyed_by_node_placement(chart: Chart, placement: Object, builds_anew: bool) -> None:
    moved, before = (
        manifests.one("InferenceService")["spec"]["predictor"]["model"]["storageUri"]
        for manifests in (chart.render("tensorrt-job", pod=placement), chart.render("tensorrt-job"))
    )
    assert (moved != before) == builds_anew


def test_runtime_names_the_bundle_of_its_plans(chart: Chart) -> None:
    canary = {"enabled": True, "storageUri": "s3://models/crowdserve-tensorrt/2", "headerValue": "0123456789abcdef"}
    route = {"enabled": True, "parentRefs": [{"name": "public", "namespace": "gateways"}]}
    runtimes = chart.render("tensorrt-job", canary=canary, route=route).all("ServingRuntime")
    sources = [each["metadata"]["annotations"]["crowdserve.io/models-source"] for each in runtimes]
    assert sources == ["s3://models/crowdserve-tensorrt/1", "s3://models/crowdserve-tensorrt/2"]
    assert "annotations" not in chart.render("s3").one("ServingRuntime")["metadata"]


def test_other_shapes_get_other_plans(chart: Chart, tmp_path: Path) -> None:
    """A later chart may allow larger photos; plans of an earlier one would refuse them."""
    copy = tmp_path / "chart"
    shutil.copytree(CHART, copy)
    models = copy / "files" / "models.json"
    models.write_text(models.read_text().replace("4x2048x2048x3", "4x4096x4096x3"))
    values = ("--namespace", "ns", "--values", str(CHART / "ci" / "tensorrt-job-values.yaml"))
    changed = chart.run("template", "rel", str(copy), *values).stdout
    assert re.findall(r"pvc://plans/\S+", changed)
    now = chart.render("tensorrt-job").one("InferenceService")["spec"]["predictor"]["model"]["storageUri"]
    assert now not in changed


def test_service_account_exists_before_the_job(chart: Chart) -> None:
    given = {"serviceAccount": {"enabled": False, "name": "models-reader"}, "storage": {"secretName": ""}}
    assert chart.render("tensorrt-job", **given).one("Job")["spec"]["template"]["spec"]["serviceAccountName"] == (
        "models-reader"
    )
    assert "serviceAccountName" not in chart.render("tensorrt-job").one("Job")["spec"]["template"]["spec"]


def test_job_is_a_hook_with_a_gpu(chart: Chart) -> None:
    job = chart.render("tensorrt-job", gpu={"resource": "nvidia.com/mig-1g.10gb"}).one("Job")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    (build,) = job["spec"]["template"]["spec"]["containers"]
    assert build["resources"]["limits"]["nvidia.com/mig-1g.10gb"] == "1"
    (download,) = job["spec"]["template"]["spec"]["initContainers"]
    assert download["args"] == ["s3://models/crowdserve-tensorrt/1", "/source"]
    assert download["envFrom"] == [{"secretRef": {"name": "s3-credentials"}}]
    assert {"name": "AWS_ENDPOINT_URL", "value": "http://minio.storage:9000"} in download["env"]


def test_bundle_on_a_claim_is_mounted_and_not_downloaded(chart: Chart) -> None:
    manifests = chart.render("tensorrt-job", storage={"uri": "pvc://models/crowdserve/1", "secretName": ""})
    pod = manifests.one("Job")["spec"]["template"]["spec"]
    assert "initContainers" not in pod
    assert {"name": "source", "persistentVolumeClaim": {"claimName": "models"}} in pod["volumes"]
    assert "/source/crowdserve/1" in pod["containers"][0]["args"]


def test_canary_has_plans_of_its_own(chart: Chart) -> None:
    route = {"enabled": True, "parentRefs": [{"name": "public"}]}
    canary = {"enabled": True, "storageUri": "s3://models/crowdserve-tensorrt/2", "headerValue": "0123456789abcdef"}
    route = {"enabled": True, "parentRefs": [{"name": "public", "namespace": "gateways"}]}
    manifests = chart.render("tensorrt-job", canary=canary, route=route)
    assert {job["metadata"]["name"] for job in manifests.all("Job")} == {"rel-plans", "rel-canary-plans"}
    uris = {each["spec"]["predictor"]["model"]["storageUri"] for each in manifests.all("InferenceService")}
    assert len(uris) == 2
    assert "--fp16" not in str(chart.render("tensorrt-job", planBuilder={"precision": "fp32"}).one("Job"))

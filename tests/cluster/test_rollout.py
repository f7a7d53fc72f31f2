"""Canaries in the cluster: shares, the gate's verdicts, promotions, and everything that can come between."""

import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from PIL import Image

from crowdserve.client.service import ServiceClient
from crowdserve.rollout.cluster import ANSWER_SECONDS
from tests.cluster.bundles import Bundles
from tests.cluster.conftest import Factory
from tests.cluster.kube import Done, Object, run, until
from tests.cluster.release import CHART, Release, merged
from tests.cluster.settings import ClusterSettings
from tests.support.paths import PHOTO

TESTERS = secrets.token_hex(16)
CANARY = {"canary": {"enabled": True, "trafficPercent": 0, "storageUri": "", "headerValue": TESTERS}}
NO_CANARY = {"canary": {"enabled": False, "storageUri": ""}}
RIGHTS = [
    {
        "apiGroups": ["serving.kserve.io"], "resources": ["inferenceservices", "servingruntimes"],
        "verbs": ["get", "list", "patch", "watch"],
    },
    {
        "apiGroups": ["gateway.networking.k8s.io"], "resources": ["httproutes", "grpcroutes"],
        "verbs": ["get", "list", "patch", "watch"],
    },
    {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list", "watch"]},
]  # fmt: skip
"""The rights that docs/how-to/canary.md names."""


@pytest.fixture(scope="module")
def release(shared: Factory, bundles: Bundles) -> Release:
    """A release with a canary of the same models."""
    bundles.push("2")
    made = shared()
    made.install(merged(CANARY, {"canary": {"storageUri": made.bundle("2")}}))
    made.wait_ready()
    made.wait_ready(name="crowdserve-canary")
    made.await_answers()
    return made


@pytest.fixture(autouse=True)
def named(release: Release, request: pytest.FixtureRequest) -> None:
    """The table names the test, and no test finds another's rollout."""
    release.test = request.node.name
    rollout(release, "abort", check=False)


@pytest.fixture(scope="module")
def golden(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two photos in the layout of JHU-CROWD++, labelled with what the models of version 1 count in them."""
    folder = tmp_path_factory.mktemp("golden") / "test"
    (folder / "images").mkdir(parents=True)
    (folder / "gt").mkdir()
    assert stable_runs(release) == release.bundle("1")
    with ServiceClient(f"http://{release.settings.gateway_address}") as client, Image.open(PHOTO) as image:
        for number, size in enumerate(((320, 240), (240, 180))):
            photo = folder / "images" / f"{number:04}.jpg"
            image.resize(size).save(photo, quality=95)
            heads = round(client.count(photo.read_bytes()).count)
            (folder / "gt" / f"{number:04}.txt").write_text("4 4 1 1 0 0\n" * heads)
    return folder.parent


def auto(release: Release, golden: Path, *options: object, kubeconfig: Path | None = None) -> "subprocess.Popen[str]":
    """Start `crowdserve rollout auto`, quick enough for a test."""
    settings = release.settings
    chosen: dict[str, object] = {
        "prometheus": settings.prometheus, "golden": golden, "url": f"http://{settings.gateway_address}",
        "steps": "50,100", "soak-seconds": 10, "settle-seconds": 8, "poll-seconds": 2, "min-requests": 60,
        "patience-seconds": 150, "margin-latency": 3, "ready-seconds": 150,
    }  # fmt: skip
    words = [f"--{name}={value}" for name, value in chosen.items()]
    environment = {**os.environ, **({"KUBECONFIG": str(kubeconfig)} if kubeconfig else {})}
    return subprocess.Popen(
        [*command(release, "auto"), *words, *map(str, options)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment,
    )  # fmt: skip


def command(release: Release, verb: str) -> list[str]:
    """The words of a rollout command."""
    return [sys.executable, "-m", "crowdserve", "rollout", verb, release.name, "--namespace", release.namespace.name]


def rollout(release: Release, verb: str, *options: object, check: bool = True) -> Done:
    """Run a rollout command to its end."""
    return run(*command(release, verb), *options, seconds=300, check=check)


def end(process: "subprocess.Popen[str]", seconds: float = 280) -> tuple[int, str]:
    """Exit code and output of a command."""
    output, _ = process.communicate(timeout=seconds)
    return process.returncode, output


def start(release: Release, version: str) -> None:
    """Give the canary other models, and wait until it serves them."""
    rollout(release, "start", "--storage-uri", release.bundle(version))
    until(
        lambda: f"{release.bundle(version)}" in status(release) and status(release).count(": ready") == 2,
        "the canary is ready",
        120,
        2,
    )


def status(release: Release) -> str:
    """What `crowdserve rollout status` says."""
    return rollout(release, "status").stdout


def stable_runs(release: Release) -> str:
    """The models of stable."""
    found = release.namespace.get("inferenceservice", release.name)
    assert found is not None
    return found["spec"]["predictor"]["model"]["storageUri"]


def test_shares_are_what_they_say(release: Release) -> None:
    """80 and 20 of 100, and the header reaches the canary alone, by REST and gRPC."""
    rollout(release, "start", "--storage-uri", release.bundle("2"))
    rollout(release, "step", "--to", 20)
    time.sleep(2)  # until the gateway has it
    result = release.send("REST, 80 to 20", 100, clients=4)
    assert result.lost == []
    canary = result.of("crowdserve-canary-")
    assert 8 <= canary <= 34, f"{canary} of 100: outside 99.8 % of the draws"  # Envoy draws at random
    assert release.send("REST, by header", 10, track=TESTERS).of("crowdserve-canary-") == 10
    (pod,) = release.pod_names(track="canary")
    pattern = r'crowdserve_requests_total{.*protocol="v2-grpc".*}'
    before = release.metric(pod, pattern)
    assert release.send("gRPC, by header", 10, "grpc", track=TESTERS).lost == []
    assert release.metric(pod, pattern) - before == 10
    rollout(release, "abort")


def test_auto_promotes_with_the_rights_of_the_documentation_and_survives(
    release: Release, golden: Path, settings: ClusterSettings, prometheus: str, tmp_path: Path
) -> None:
    """Killed half-way, run again; the API server goes away; KServe's controller restarts during the promotion."""
    kubeconfig = service_account(release, tmp_path)
    start(release, "2")
    with release.load("REST, a whole promotion", clients=3) as rest:
        first = auto(release, golden, kubeconfig=kubeconfig)
        until(lambda: weight(release) == 50, "the canary has 50 %", 120)
        first.send_signal(signal.SIGKILL)
        first.communicate()
        again = auto(release, golden, kubeconfig=kubeconfig)
        assert again.stdout is not None
        said = again.stdout.readline()  # it has talked to the API server
        try:
            with settings.stopped("api"):
                time.sleep(ANSWER_SECONDS + 10)  # a server that is frozen takes a request's whole time limit
        except pytest.skip.Exception:
            pass  # a cluster without a way: the rest of the test goes on
        until(lambda: stable_runs(release) == release.bundle("2"), "stable takes the canary's models", 200)
        if settings.stop_controller:
            with settings.stopped("controller"):
                time.sleep(3)
        code, output = end(again)
    assert code == 0, output
    assert rest.result.lost == []
    if settings.stop_api:
        assert "the API server does not answer" in said + output, said + output
    assert weight(release) == 0
    printed = re.search(r"helm upgrade .*", output)
    assert printed is not None, output
    make_permanent(release, printed[0])


def make_permanent(release: Release, printed: str) -> None:
    """Run the printed command: Helm 4 needs --force-conflicts, and says why without it."""
    words = printed.replace(" CHART ", f" {CHART} ").split()
    version = run("helm", "version", "--short").stdout
    if not version.startswith("v3"):
        refused = run(*words, check=False)
        assert refused.returncode != 0
        assert "crowdserve-rollout" in refused.stderr, refused.stderr
        words.append("--force-conflicts")
    run(*words)
    assert stable_runs(release) == release.bundle("2")
    assert release.namespace.get("inferenceservice", "crowdserve-canary") is None


def test_status_after_a_rollback_tells_what_runs(release: Release) -> None:
    """`helm rollback` brings the old models and the canary back; the record still says that others were promoted."""
    release.namespace.helm("rollback", release.name, "1", *force(release))
    release.wait_ready()
    release.wait_ready(name="crowdserve-canary")
    assert stable_runs(release) == release.bundle("1")
    said = status(release)
    assert release.bundle("1") in said, said
    assert "changed since by Helm or by hand" in said, said
    release.settle_pods()


def force(release: Release) -> list[str]:
    """The flag that Helm 4 needs where a rollout has changed fields."""
    return (
        []
        if run(release.namespace.helm_binary, "version", "--short").stdout.startswith("v3")
        else ["--force-conflicts"]
    )


def test_golden_set_aborts_the_wrong_network(release: Release, golden: Path, bundles: Bundles) -> None:
    bundles.push_wrong_network("wrong")
    start(release, "wrong")
    code, output = end(auto(release, golden, "--without=metrics"))
    assert code == 1, output
    assert "golden set" in output
    assert weight(release) == 0
    assert stable_runs(release) == release.bundle("1")


def test_canary_that_cannot_start_gets_no_verdict(release: Release, golden: Path) -> None:
    rollout(release, "start", "--storage-uri", release.bundle("nowhere"))
    with release.load("REST, beside a broken canary") as rest:
        code, output = end(auto(release, golden, "--patience-seconds=5"))
    assert code == 3, output
    assert weight(release) == 0
    assert rest.result.lost == []
    rollout(release, "abort")


def test_verdict_that_cannot_come_ends_at_once(release: Release, golden: Path) -> None:
    """Stable's score has to be measured while stable has all the traffic."""
    start(release, "2")
    rollout(release, "step", "--to", 50)
    time.sleep(3)
    started = time.monotonic()
    code, output = end(auto(release, golden, "--without=metrics", "--patience-seconds=600"))
    assert code == 3, output
    assert "was not measured" in output
    assert time.monotonic() - started < 60, output
    rollout(release, "abort")


def test_two_commands_at_once_do_not_undo_each_other(release: Release) -> None:
    """Promote and abort: whichever comes second refuses, or undoes the other in order."""
    before = stable_runs(release)
    start(release, "2")
    rollout(release, "step", "--to", 100)
    with release.load("REST, promote and abort at once") as rest:
        both = [
            subprocess.Popen(command(release, verb), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            for verb in ("promote", "abort")
        ]
        outputs = [end(process) for process in both]
    assert rest.result.lost == [], outputs
    assert weight(release) == 0, outputs
    said = status(release)
    promoted = outputs[0][0] == 0
    assert stable_runs(release) == (release.bundle("2") if promoted and "promoted" in said else before), outputs


def test_helm_3_installs_keeps_a_promotion_and_rolls_back(
    make_release: Factory, settings: ClusterSettings, bundles: Bundles
) -> None:
    """Helm 3 does not know of owners of fields: the printed command goes as it is."""
    if not settings.helm3:
        pytest.skip("no Helm 3: set CROWDSERVE_CLUSTER_HELM3")
    made = make_release()
    made.namespace = replace(made.namespace, helm_binary=settings.helm3)
    made.install(merged(CANARY, {"canary": {"storageUri": bundles.push("2")}}))
    made.wait_ready()
    made.wait_ready(name="crowdserve-canary")
    assert "REST: " in made.namespace.helm("test", made.name, "--logs").stdout
    rollout(made, "start", "--storage-uri", made.bundle("2"))
    rollout(made, "step", "--to", 100)
    printed = re.search(r"helm upgrade .*", rollout(made, "promote").stdout)
    assert printed is not None
    run(settings.helm3, *printed[0].replace(" CHART ", f" {CHART} ").split()[1:])
    assert stable_runs(made) == made.bundle("2")
    assert made.namespace.get("inferenceservice", "crowdserve-canary") is None
    made.namespace.helm("rollback", made.name, "1")
    assert stable_runs(made) == made.bundle("1")
    made.wait_ready()
    made.namespace.helm("uninstall", made.name, "--wait")


def weight(release: Release) -> int:
    """Share of the canary, from the route itself."""
    found = run(
        "kubectl",
        "--namespace",
        release.namespace.name,
        "get",
        "httproute",
        release.name,
        "--output",
        "json",
        check=False,
    )
    if found.returncode:
        return -1  # the API server is away
    backends = json.loads(found.stdout)["spec"]["rules"][-1]["backendRefs"]
    return next((each["weight"] for each in backends if "-canary-" in each["name"]), 0)


def service_account(release: Release, folder: Path) -> Path:
    """A kubeconfig of a service account that has exactly the documented rights."""
    namespace = release.namespace
    subject = {"kind": "ServiceAccount", "name": "rollout", "namespace": namespace.name}
    namespace.apply(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "rollout"}},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": "rollout"},
            "rules": RIGHTS,
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "rollout"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "rollout"},
            "subjects": [subject],
        },
    )
    token = namespace.kubectl("create", "token", "rollout", "--duration=1h").stdout.strip()
    config: Object = json.loads(run("kubectl", "config", "view", "--minify", "--flatten", "--output", "json").stdout)
    config["users"] = [{"name": config["users"][0]["name"], "user": {"token": token}}]
    file = folder / "kubeconfig"
    file.write_text(yaml.safe_dump(config))
    return file

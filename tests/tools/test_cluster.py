"""The scripts of `make cluster`, with stand-ins for docker, kind, kubectl and helm that note how they are called."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

import crowdserve
from tests.support.paths import ROOT

FOLDER = ROOT / "tools" / "cluster"
STAND_IN = """#!/usr/bin/env bash
echo "$(basename "$0") $*" >> "{calls}"
[ "$(basename "$0")" != kubectl ] || [ "$KUBECONFIG" = "{kubeconfig}" ] || exit 9
case "$(basename "$0") $*" in
    "docker image inspect crowdserve-models"*) exit 1 ;;
    "kind get clusters") cat "{clusters}" ;;
    "kind create"*) echo crowdserve > "{clusters}" && cp "$4" "{filled}" ;;
    "kubectl apply"*" -k "*) cp -r "${{@: -1}}" "{filled}" ;;
    "kubectl apply"*" -f /"*) cp "${{@: -1}}" "{filled}" ;;
    "helm version"*) echo {helm} ;;
esac
"""
SYSTEM = ("bash", "basename", "cat", "cp", "dirname", "env", "find", "grep", "mkdir", "mktemp", "rm", "sed", "sh")
NODE = "docker exec crowdserve-control-plane"


@dataclass(frozen=True)
class Machine:
    """A checkout of the scripts and the commands that they find.

    Attributes:
        folder: Folder of both.
    """

    folder: Path

    def add(self, *commands: str, helm: str = "v4.3.1") -> None:
        """Put stand-ins on the PATH."""
        places = {name: self.folder / name for name in ("calls", "clusters", "filled")}
        places["kubeconfig"] = self.folder / ".cluster.kubeconfig"
        for command in commands:
            script = self.folder / "bin" / command
            script.write_text(STAND_IN.format(helm=helm, **places))
            script.chmod(0o755)

    def run(self, script: str, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run one of the scripts."""
        command = [self.folder / "tools" / "cluster" / script, *arguments]
        environment = {"PATH": f"{self.folder / 'bin'}:{self.folder / 'system'}", **settings}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    @property
    def calls(self) -> list[str]:
        """What was called so far."""
        return (self.folder / "calls").read_text().splitlines()

    def read(self, file: str) -> list[Any]:
        """The documents of a file as kind or kubectl got it."""
        text = (self.folder / "filled" / file).read_text()
        assert "${" not in text
        return list(yaml.safe_load_all(text))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    shutil.copytree(FOLDER, tmp_path / "tools" / "cluster")
    package = tmp_path / "src" / "crowdserve"
    package.mkdir(parents=True)
    shutil.copy(ROOT / "src" / "crowdserve" / "__init__.py", package)
    for name in ("bin", "system", "filled"):
        (tmp_path / name).mkdir()
    (tmp_path / "clusters").touch()
    for name in SYSTEM:
        (tmp_path / "system" / name).symlink_to(shutil.which(name) or name)
    return Machine(tmp_path)


@pytest.fixture
def complete(machine: Machine) -> Machine:
    machine.add("docker", "kind", "kubectl", "helm")
    return machine


def test_missing_commands_are_named_with_their_origin(machine: Machine) -> None:
    machine.add("docker", "kubectl")
    done = machine.run("up.sh")
    assert done.returncode == 1
    named = re.findall(r"^  (\w+): https://\S+", done.stderr, re.MULTILINE)
    assert named == ["kind", "helm"]
    assert not (machine.folder / "calls").exists()


def test_missing_image_is_named_before_anything_is_made(complete: Machine) -> None:
    docker = complete.folder / "bin" / "docker"
    docker.write_text(docker.read_text().replace("crowdserve-models", "crowdserve-triton-cpu"))
    done = complete.run("up.sh")
    assert done.returncode == 1
    assert f"crowdserve-triton-cpu:{crowdserve.__version__} is missing: run make images" in done.stderr
    assert not [call for call in complete.calls if call.startswith("kind")]


def test_second_run_keeps_the_cluster(complete: Machine) -> None:
    for _ in range(2):
        done = complete.run("up.sh")
        assert (done.returncode, done.stderr) == (0, "")
    assert len([call for call in complete.calls if call.startswith("kind create")]) == 1
    applied = [call for call in complete.calls if re.search(r"apply .* -f https:|helm upgrade", call)]
    assert len(applied) >= 10
    assert applied[: len(applied) // 2] == applied[len(applied) // 2 :]


def test_environment_names_what_was_made(complete: Machine) -> None:
    assert complete.run("up.sh", GATEWAY_PORT="18081").returncode == 0
    shell = f'. "{complete.folder}/.cluster.env" && env -0'
    output = subprocess.run(["sh", "-ec", shell], env={"PATH": os.defpath}, capture_output=True, check=True).stdout
    found = dict(pair.split("=", 1) for pair in output.decode().split("\0") if "=" in pair)
    found = {name.removeprefix("CROWDSERVE_CLUSTER_"): value for name, value in found.items()}
    assert found["KUBECONFIG"] == f"{complete.folder}/.cluster.kubeconfig"
    for name in ("transformer", "watcher", "triton-cpu"):
        image, name = f"crowdserve-{name}", f"{name.removesuffix('-cpu').upper()}_IMAGE"
        assert found[name] == f"{image}:{crowdserve.__version__}"
        assert any(call.startswith("kind load docker-image") and found[name] in call for call in complete.calls)
    assert found["GATEWAY_ADDRESS"] == "localhost:18081"
    (cluster,) = complete.read("kind.yaml")
    (node,) = cluster["nodes"]
    ports = {mapping["containerPort"]: mapping["hostPort"] for mapping in node["extraPortMappings"]}
    services = {
        service["metadata"]["name"]: service["spec"]["ports"][0]
        for file in ("store.yaml", "prometheus.yaml")
        for service in complete.read(file)
        if service["kind"] == "Service"
    }
    assert ports[80] == 18081
    assert found["S3_UPLOAD"] == f"http://127.0.0.1:{ports[services['s3']['nodePort']]}"
    assert found["S3_ENDPOINT"] == f"http://s3.store.svc:{services['s3']['port']}"
    assert found["PROMETHEUS"] == f"http://127.0.0.1:{ports[services['prometheus']['nodePort']]}"
    assert "HELM3" not in found
    for part in ("API", "STORE", "CONTROLLER", "PROMETHEUS"):
        for verb in ("STOP", "START"):
            assert found[f"{verb}_{part}"] == f'"{complete.folder}/tools/cluster/fault.sh" {verb.lower()} {part}'


def test_helm_3_is_named_for_the_tests_that_want_it(complete: Machine) -> None:
    complete.add("helm", helm="v3.19.0")
    assert complete.run("up.sh").returncode == 0
    assert (
        f"export CROWDSERVE_CLUSTER_HELM3='{complete.folder}/bin/helm'\n"
        in (complete.folder / ".cluster.env").read_text()
    )


def test_versions_are_pinned_and_those_of_the_chart_and_the_workflow() -> None:
    settings = dict(re.findall(r"^([A-Z_]+)=(.*)$", (FOLDER / "settings.env").read_text(), re.MULTILINE))
    assert re.fullmatch(r"kindest/node:v1\.\d+\.\d+@sha256:[0-9a-f]{64}", settings["NODE_IMAGE"])
    fixed = {name: value for name, value in settings.items() if not name.endswith(("_PORT", "CLUSTER", "NODE_IMAGE"))}
    assert [name for name, value in fixed.items() if not re.search(r"\bv?\d+\.\d+\.\d+$", value)] == []
    values = yaml.safe_load((ROOT / "charts" / "crowdserve" / "values.yaml").read_text())
    assert settings["KSERVE"] == values["planBuilder"]["downloader"]["image"]["tag"]
    kind = re.findall(r"kind (v\d+\.\d+\.\d+)", (FOLDER / "settings.env").read_text())
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "nightly.yml").read_text())["jobs"]
    installs = [s["with"] for job in jobs.values() for s in job["steps"] if "kind-action" in s.get("uses", "")]
    assert [install["version"] for install in installs] == kind


def test_manifests_fit_kubernetes(complete: Machine) -> None:
    from cloudcoil.models.prometheus_operator.v1 import Prometheus  # takes a second

    assert complete.run("up.sh").returncode == 0
    documents = [each for file in ("store.yaml", "prometheus.yaml") for each in complete.read(file)]
    for found in documents:
        if found["kind"] == "Prometheus":
            Prometheus.model_validate(found)
        else:
            kubernetes_validate.validate(found, "1.34", strict=True)
    assert {"Deployment", "Prometheus", "Service"} <= {found["kind"] for found in documents}
    for folder in ("contour", "monitoring", "metrics-server"):
        (found,) = complete.read(f"{folder}/kustomization.yaml")
        assert any(resource.startswith("https://") for resource in found["resources"])


@pytest.mark.parametrize(
    ("arguments", "called"),
    [
        ("stop STORE", ["kubectl --namespace store scale deployment/s3 --replicas=0"]),
        ("start CONTROLLER", ["kubectl --namespace kserve scale deployment/kserve-controller-manager --replicas=1"]),
        ("stop PROMETHEUS", ["prometheus/main", "wait pod/prometheus-main-0 --for=delete"]),
        ("stop API", [f"{NODE} sh -ec cd /etc/kubernetes; [ ! -e manifests/kube-apiserver.yaml ]"]),
        ("kill tritonserver", [f"{NODE} pkill -9 --newest -x tritonserver"]),
        ("kill triton_python_backend_stub", [f"{NODE} pkill -9 --newest -x triton_python_b"]),
        ("kill-containers", ["crictl stop --timeout 0 .containers[] | select("]),
    ],
)
def test_faults_reach_their_part(complete: Machine, arguments: str, called: list[str]) -> None:
    done = complete.run("fault.sh", *arguments.split())
    assert (done.returncode, done.stderr) == (0, "")
    text = "\n".join(complete.calls)
    assert all(each in text for each in called), text


@pytest.mark.parametrize(("arguments", "said"), [("stop GATEWAY", "unknown part GATEWAY"), ("", "fault.sh stop|start")])
def test_unknown_faults_are_refused(complete: Machine, arguments: str, said: str) -> None:
    done = complete.run("fault.sh", *arguments.split())
    assert done.returncode != 0
    assert said in done.stderr


def test_down_removes_the_cluster_and_its_files(complete: Machine) -> None:
    assert complete.run("up.sh").returncode == 0
    assert complete.run("down.sh").returncode == 0
    assert complete.calls[-1].startswith("kind delete cluster --name crowdserve")
    assert not list(complete.folder.glob(".cluster*"))

"""The address that Triton listens on: of the family of its pod, on clusters of IPv4, of IPv6 and of both."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from crowdserve.local.processes import ChildProcess, choose_ports
from crowdserve.local.triton import find_triton, link_backends
from tests.support.rendering import Chart
from tests.support.waiting import answers

POD = "crowd-predictor-5f7c9-abcde"
LOCALHOST = "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
ADDRESSES = {"IPv4": "10.244.1.5", "IPv6": "fd00:10:244::5"}


def hosts(*families: str) -> str:
    """The file that a kubelet writes into a pod with addresses of some families."""
    return LOCALHOST + "".join(f"{ADDRESSES[family]}\t{POD}\n" for family in families)


def rendered(chart: Chart, folder: Path, hosts_file: str, base: str, **triton: object) -> list[str]:
    """Triton's command line with another file in the place of /etc/hosts, and neither bundle nor backends."""
    off = {"settings": {"verifyBundle": "off"}}
    args = chart.render(base, triton=triton, transformer=off, engineCache={"enabled": False}).triton()["args"]
    (folder / "hosts").write_text(hosts_file)
    (folder / "models").mkdir(exist_ok=True)
    (folder / "installed" / "onnxruntime").mkdir(parents=True, exist_ok=True)
    places = {
        "/etc/hosts": str(folder / "hosts"), "/mnt/models": str(folder / "models"),
        "/opt/tritonserver/backends": str(folder / "installed"), "/tmp/backends": str(folder / "backends"),
        "/dev/shm": str(folder / "shm"), "/run/crowdserve": str(folder),
    }  # fmt: skip
    for there, here in places.items():
        args = [each.replace(there, here) for each in args]
    return args


def listens(chart: Chart, folder: Path, hosts_file: str, base: str, **triton: object) -> tuple[str, str]:
    """The addresses of REST and of the metrics among the flags that Triton gets."""
    command = rendered(chart, folder, hosts_file, base, **triton)
    command[command.index("tritonserver")] = "echo"
    done = subprocess.run(command, env={**os.environ, "HOSTNAME": POD}, capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
    found = dict(flag.partition("=")[::2] for flag in done.stdout.split() if flag.startswith("--"))
    return found["--http-address"], found["--metrics-address"]


@pytest.mark.parametrize(
    ("families", "host", "expected"),
    [
        (["IPv4"], "", "0.0.0.0"),
        (["IPv6"], "", "ipv6:::"),
        (["IPv4", "IPv6"], "", "0.0.0.0"),
        (["IPv6", "IPv4"], "", "ipv6:::"),
        ([], "", "0.0.0.0"),  # of a runtime that writes no name
        (["IPv4"], "::", "ipv6:::"),
        (["IPv6"], "0.0.0.0", "0.0.0.0"),
        (["IPv6"], "fd00:10:244::5", "ipv6:fd00:10:244::5"),
    ],
)
def test_triton_listens_where_its_pod_is_called(
    chart: Chart, tmp_path: Path, families: list[str], host: str, expected: str
) -> None:
    assert listens(chart, tmp_path, hosts(*families), "standalone", host=host) == (expected, expected)
    assert listens(chart, tmp_path, hosts(*families), "default", host=host) == ("127.0.0.1", expected)


def test_more_flags_of_an_operator_come_last(chart: Chart, tmp_path: Path) -> None:
    chosen = listens(chart, tmp_path, hosts("IPv4"), "standalone", extraArgs=["--http-address=10.0.0.1"])
    assert chosen == ("10.0.0.1", "0.0.0.0")


def test_services_of_a_cluster_with_two_families(chart: Chart) -> None:
    chosen = {"ipFamilyPolicy": "PreferDualStack", "ipFamilies": ["IPv6", "IPv4"]}
    service = chart.render("standalone", triton={"service": chosen}).one("Service")["spec"]
    assert service.items() >= chosen.items()
    assert not {"ipFamilyPolicy", "ipFamilies"} & chart.render("standalone").one("Service")["spec"].keys()


def test_network_policy_takes_ranges_of_ipv6(chart: Chart) -> None:
    peers = [{"ipBlock": {"cidr": "fd00:10::/64", "except": ["fd00:10::/96"]}}]
    policy = chart.render(networkPolicy={"clients": peers, "monitoring": peers}).one("NetworkPolicy")["spec"]
    assert [rule["from"] for rule in policy["ingress"]][1:] == [peers, peers]


@pytest.mark.e2e
@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6")
def test_real_triton_answers_on_ipv6(chart: Chart, tmp_path: Path) -> None:
    """It takes the address in a form of its own, serves that family alone, and here has no models."""
    install = find_triton()
    link_backends(install, tmp_path / "installed")
    ports = choose_ports("::1", None, None)
    command = [
        each.replace("8085", str(ports[0])).replace("8002", str(ports[1]))
        for each in rendered(chart, tmp_path, hosts("IPv6"), "standalone")
        if not each.startswith("--load-model")
    ]
    environment = {
        **os.environ,
        "HOSTNAME": POD,
        "PATH": f"{install / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "LD_LIBRARY_PATH": str(install.parents[1] / "nvidia_pytriton.libs"),
    }
    triton = ChildProcess("Triton", command, folder=tmp_path, env=environment)
    try:
        for url in (f"http://[::1]:{ports[0]}/v2/health/ready", f"http://[::1]:{ports[1]}/metrics"):
            triton.wait_until(lambda url=url: answers(url), 60)
    finally:
        triton.stop(20)

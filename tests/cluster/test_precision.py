"""The precision that the chart forces on the networks is the one that answers, or the pod is not ready."""

import json

import pytest

from tests.cluster.conftest import Factory
from tests.cluster.kube import until
from tests.cluster.release import Release, Values

NO_ROUTE: Values = {"route": {"enabled": False, "grpc": {"enabled": False}}}
CAN = {"fp32": "onnxruntime-fp32", "bf16": "openvino-bf16", "int8": "openvino-int8"}


@pytest.mark.parametrize("precision", CAN)
def test_the_forced_precision_answers(make_release: Factory, precision: str) -> None:
    release = make_release()
    # No route is asked for: the scene's network chooses one, and runs too.
    release.install({**NO_ROUTE, "triton": {"precision": precision}})
    if precision == "bf16" and not node_has_bf16(release):
        until(lambda: "needs a node whose processor" in triton_log(release), "Triton's log says why", 120, 2)
        assert not release.is_ready()
        return
    until(
        lambda: release.is_ready() or "triton.precision" in triton_log(release), "Triton runs or says why not", 150, 2
    )
    assert release.is_ready(), triton_log(release)
    reply = release.ask()
    models = json.loads(reply["models"])
    networks = {name: version for name, version in models.items() if name.startswith("csrnet")}
    assert networks
    assert all(version.endswith(CAN[precision]) for version in networks.values()), models
    assert reply["count"] > 0
    print(f"{precision}: {reply['count']:.2f} people, {models}")


def node_has_bf16(release: Release) -> bool:
    """Whether the processor of the pod's node multiplies bfloat16 numbers, as its transformer sees it."""

    def asked() -> str:
        pods = release.pods()
        if not pods:
            return ""
        command = ["exec", pods[0]["metadata"]["name"], "--container", "transformer-container", "--"]
        code = "print('known', any(f in open('/proc/cpuinfo').read() for f in ('avx512_bf16', 'amx_bf16')))"
        return release.namespace.kubectl(*command, "python", "-c", code, check=False).stdout.strip()

    return until(asked, "the transformer runs", 120, 1) == "known True"


def triton_log(release: Release) -> str:
    """What Triton's container has said, and in its run before."""
    pods = release.pods()
    if not pods:
        return ""
    command = ["logs", pods[0]["metadata"]["name"], "--container", "kserve-container"]
    return "".join(release.namespace.kubectl(*command, *each, check=False).stdout for each in ([], ["--previous"]))

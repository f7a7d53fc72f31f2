"""A collocated transformer gives Triton photos by memory: what the containers see, and a real Triton with its flags."""

import asyncio
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from crowdserve.cards import VGG16
from crowdserve.local.triton import CLOSED_PROTOCOLS, UNSENDABLE
from crowdserve.triton.client import TritonAnswer, TritonClient
from crowdserve.triton.repository import render_repository
from crowdserve_transformer.inference.shared_memory import FOLDER, PLACE_BYTES, SharedMemory
from tests.chart.test_security import quantity
from tests.chart.test_serving import environment, flags
from tests.support.rendered_triton import HOST, RunningTriton, running_triton
from tests.support.rendering import CI, Chart, Manifests, Object

SOCKET = "CROWDSERVE_TRITON_MEMORY_SOCKET"
OFF = {"triton": {"sharedMemory": {"enabled": False}}}
SERVICE = "/inference.GRPCInferenceService"
CLOSED = "ServerMetadata ModelConfig ModelStatistics ModelInfer RepositoryIndex RepositoryModelLoad LogSettings"


def mounts(container: Object) -> dict[str, str]:
    """Volumes of a container by the folder where it sees them."""
    return {each["mountPath"]: each["name"] for each in container["volumeMounts"]}


def volumes(manifests: Manifests, name: str) -> dict[str, Object]:
    """The volumes of the predictor's pod."""
    (pod,) = (pod for found, pod in manifests.pod_specs() if found == f"{name}-predictor")
    return {volume["name"]: volume for volume in pod["volumes"]}


@pytest.mark.parametrize("base", CI)
def test_both_containers_of_a_pod_see_the_memory_and_the_socket(chart: Chart, base: str) -> None:
    name = "counting" if base == "everything" else "rel"
    manifests = chart.render(base)
    triton, transformer = manifests.triton(name), manifests.transformer(name)
    if transformer["name"] == "kserve-container":  # in a pod of its own
        assert SOCKET not in environment(transformer)
        assert not {"/dev/shm", "/run/crowdserve"} & mounts(transformer).keys()
        assert "--allow-grpc=false" in flags(triton)
        assert "--grpc-address" not in triton["args"][2]
        return
    socket = Path(environment(transformer)[SOCKET])
    for folder in (FOLDER, socket.parent):
        assert mounts(triton)[str(folder)] == mounts(transformer)[str(folder)]
    found = volumes(manifests, name)
    assert found[mounts(triton)[str(FOLDER)]]["emptyDir"]["medium"] == "Memory"
    assert set(found[mounts(triton)[str(socket.parent)]]) == {"name", "emptyDir"}
    assert f"sockets={socket.parent}\n" in triton["args"][2]
    assert f"{socket.parent}/memory:1" == str(socket)
    assert "--grpc-port=1" in flags(triton)
    assert f"--grpc-restricted-protocol={CLOSED_PROTOCOLS}:nobody={UNSENDABLE}" in flags(triton)


def test_memory_of_the_defaults_has_room_for_the_photos_and_the_python_backend(chart: Chart) -> None:
    manifests = chart.render()
    places = int(environment(manifests.transformer())["CROWDSERVE_MAX_CONCURRENT_PICTURES"])
    size = quantity(volumes(manifests, "rel")["shm"]["emptyDir"]["sizeLimit"])
    assert places * PLACE_BYTES + (96 << 20) < size


def test_without_it_nothing_of_it_is_rendered(chart: Chart) -> None:
    manifests = chart.render(**OFF)
    assert SOCKET not in environment(manifests.transformer())
    assert set(mounts(manifests.transformer())) == {"/tmp"}
    assert "--allow-grpc=false" in flags(manifests.triton())
    assert not [each for each in manifests.triton()["args"] if "--grpc" in each]


GRPC_FLAGS = ["--allow-grpc=true", "--grpc-port=8001", "--grpc-address=0.0.0.0"]


@pytest.mark.parametrize("flag", GRPC_FLAGS)
def test_grpc_for_something_else_is_refused_beside_it(chart: Chart, flag: str) -> None:
    assert f"triton.extraArgs has {flag}" in chart.refusal(triton={"extraArgs": [flag]})


def test_grpc_is_for_anything_without_it(chart: Chart) -> None:
    for manifests in (
        chart.render(triton={"extraArgs": GRPC_FLAGS, **OFF["triton"]}),
        chart.render("standalone", triton={"extraArgs": GRPC_FLAGS}),
    ):
        assert set(GRPC_FLAGS) <= set(flags(manifests.triton()))


def test_triton_starts_without_grpc_where_the_volume_cannot_be_written(chart: Chart, tmp_path: Path) -> None:
    (tmp_path / "sockets").touch()  # no folder
    script = chart.render().triton()["args"][2]
    script = script[script.index("sockets=") : script.index("program=")].replace(
        "/run/crowdserve", f"{tmp_path}/sockets"
    )
    done = subprocess.run(["sh", "-euc", f'{script}\necho "$grpc"'], capture_output=True, text=True)
    assert done.stdout == "--allow-grpc=false\n"
    assert "cannot be written: no memory is shared" in done.stderr


@pytest.fixture(scope="module")
def triton(chart: Chart, small_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningTriton]:
    """A Triton in a pod whose volume still has what a killed container left."""
    folder = tmp_path_factory.mktemp("pod")
    render_repository(small_repository, folder / "models", "embedded")
    (folder / "shm").mkdir()
    for name in ("triton_python_backend_shm_region_1", "crowdserve-1", "another"):
        (folder / "shm" / name).touch()
    with running_triton(chart, folder, transformer={"settings": {"verifyBundle": "off"}}) as found:
        found.process.wait_until(lambda: found.ready, 60)
        yield found


def memory_of(chart: Chart, triton: RunningTriton) -> SharedMemory:
    """The memory as the transformer of the pod makes it."""
    socket = environment(chart.render().transformer())[SOCKET].replace("/run/crowdserve", str(triton.sockets))
    return SharedMemory(socket, 2)


async def ask(client: TritonClient) -> TritonAnswer:
    image = np.full((1, *VGG16.input.axes[:2], 3), 51, np.uint8)
    return await client.infer(VGG16.name, {VGG16.input.name: image}, [VGG16.outputs[0].name])


def mapped(triton: RunningTriton) -> int:
    """Memory of transformers that the server has mapped."""
    regions = re.findall(r"/crowdserve-[0-9a-f]{32}\b", Path(f"/proc/{triton.process.pid}/maps").read_text())
    return len(set(regions))


@pytest.mark.e2e
def test_rendered_triton_reads_photos_from_memory_also_after_it_was_killed(chart: Chart, triton: RunningTriton) -> None:
    assert [path.name for path in (triton.folder / "shm").iterdir()] == ["another"]

    async def asked() -> list[Any]:
        client = TritonClient(f"{HOST}:{triton.http_port}", memory=memory_of(chart, triton))
        try:
            answers = [await ask(client)]
            before = mapped(triton)
            triton.kill()
            triton.process.wait_until(lambda: triton.ready, 60)
            answers += [await ask(client), await ask(client)]
            return [before, mapped(triton), *(answer.by_memory for answer in answers)]
        finally:
            await client.close()

    assert asyncio.run(asked()) == [1, 1, True, False, True]
    assert mapped(triton) == 0


@pytest.mark.e2e
def test_memory_of_a_transformer_that_was_killed_is_let_go(chart: Chart, triton: RunningTriton) -> None:
    async def asked() -> list[Any]:
        killed = memory_of(chart, triton)  # it never says that it ends
        await killed.open()
        client = TritonClient(f"{HOST}:{triton.http_port}", memory=memory_of(chart, triton))
        try:
            return [mapped(triton), (await ask(client)).by_memory, mapped(triton)]
        finally:
            await client.close()

    assert asyncio.run(asked()) == [1, True, 1]


@pytest.mark.e2e
def test_rendered_grpc_has_nothing_but_shared_memory(triton: RunningTriton) -> None:
    (socket,) = (path for path in triton.sockets.iterdir() if path.is_socket())
    with grpc.insecure_channel(f"unix:{socket}") as channel:
        channel.unary_unary(f"{SERVICE}/SystemSharedMemoryStatus")(b"", timeout=60)
        for method in CLOSED.split():
            with pytest.raises(grpc.RpcError, match="restricted"):
                channel.unary_unary(f"{SERVICE}/{method}")(b"", timeout=60)

"""What perf_analyzer and other tools of Triton call, by Triton's own clients, over REST and gRPC.

They read configuration, metadata and statistics, take the shapes and outputs from there, and send compressed requests
of which many have the same id.
"""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import tritonclient.http

import crowdserve
from crowdserve.local.service import EmbeddedService
from crowdserve.protocol.tensors import OUTPUTS
from tests.support.photos import expected_count, gray_photo

pytestmark = pytest.mark.e2e

PHOTOS, REQUESTS = 2, 8

GRPC = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
import numpy as np
import tritonclient.grpc as triton
address, photo = sys.argv[1], sys.stdin.buffer.read()
client = triton.InferenceServerClient(address)
config = client.get_model_config("crowdserve", as_json=True)["config"]
metadata = client.get_model_metadata("crowdserve", as_json=True)
tensor = np.full([2, *map(int, metadata["inputs"][0]["shape"][1:])], photo, dtype=object)
image = triton.InferInput("image", list(tensor.shape), metadata["inputs"][0]["datatype"])
image.set_data_from_numpy(tensor)
outputs = [triton.InferRequestedOutput(output["name"]) for output in metadata["outputs"]]
before = client.get_inference_statistics("crowdserve", as_json=True)["model_stats"][0]
def infer(number):
    coding = ("gzip", "deflate", None)[number % 3]
    result = client.infer("crowdserve", [image], outputs=outputs, request_id="shared", compression_algorithm=coding)
    assert result.get_response().id == "shared"
    return result.as_numpy("count_csrnet").tolist()
with ThreadPoolExecutor(4) as pool:
    counts = list(pool.map(infer, range(8)))
after = client.get_inference_statistics("crowdserve", as_json=True)["model_stats"][0]
print(json.dumps({
    "config": config, "metadata": metadata, "before": before, "after": after, "counts": counts,
    "all": client.get_inference_statistics(as_json=True)["model_stats"],
    "index": client.get_model_repository_index(as_json=True)["models"],
    "server": client.get_server_metadata(as_json=True),
}))
"""


def over_grpc(service: EmbeddedService) -> dict[str, Any]:
    """In a process of its own: Triton's messages conflict with those of the KServe SDK."""
    command = [sys.executable, "-c", GRPC, service.grpc_url]
    ended = subprocess.run(command, input=gray_photo(), capture_output=True, check=False, timeout=200)
    assert ended.returncode == 0, ended.stderr.decode()
    return dict(json.loads(ended.stdout))


def over_rest(service: EmbeddedService) -> dict[str, Any]:
    address = service.http_url.removeprefix("http://")
    with tritonclient.http.InferenceServerClient(address, concurrency=4, network_timeout=120) as client:
        metadata = client.get_model_metadata("crowdserve")
        (described,) = metadata["inputs"]
        tensor = np.full([PHOTOS, *described["shape"][1:]], gray_photo(), dtype=np.object_)
        image = tritonclient.http.InferInput("image", list(tensor.shape), described["datatype"])
        image.set_data_from_numpy(tensor)
        outputs = [tritonclient.http.InferRequestedOutput(output["name"]) for output in metadata["outputs"]]

        def send(number: int) -> Any:
            coding = ("gzip", "deflate", None)[number % 3]
            return client.async_infer(
                "crowdserve",
                [image],
                outputs=outputs,
                request_id="shared",
                request_compression_algorithm=coding,
                response_compression_algorithm=coding,
            )

        before = client.get_inference_statistics("crowdserve")["model_stats"][0]
        results = [sent.get_result() for sent in [send(number) for number in range(REQUESTS)]]
        assert {result.get_response()["id"] for result in results} == {"shared"}
        return {
            "config": client.get_model_config("crowdserve"),
            "metadata": metadata,
            "before": before,
            "counts": [result.as_numpy("count_csrnet").tolist() for result in results],
            "after": client.get_inference_statistics("crowdserve")["model_stats"][0],
            "all": client.get_inference_statistics()["model_stats"],
            "index": client.get_model_repository_index(),
            "server": client.get_server_metadata(),
        }


@pytest.fixture(scope="module", params=[over_rest, over_grpc], ids=["REST", "gRPC"])
def found(request: pytest.FixtureRequest, small_service: EmbeddedService) -> dict[str, Any]:
    return dict(request.param(small_service))


def test_configuration_and_metadata_agree(found: dict[str, Any]) -> None:
    assert found["config"]["max_batch_size"] == 16
    for ours, theirs in (("input", "inputs"), ("output", "outputs")):
        configured = {each["name"]: [-1, *map(int, each.get("dims", []))] for each in found["config"][ours]}
        assert configured == {each["name"]: list(map(int, each["shape"])) for each in found["metadata"][theirs]}
    assert {"model_configuration", "statistics"} <= set(found["server"]["extensions"])


def test_every_output_of_the_metadata_can_be_asked_for(found: dict[str, Any]) -> None:
    assert [output["name"] for output in found["metadata"]["outputs"]] == list(OUTPUTS)
    assert found["counts"] == [pytest.approx([expected_count()] * PHOTOS, rel=1e-5)] * REQUESTS


def test_statistics_count_the_requests_and_photos(found: dict[str, Any]) -> None:
    before, after = found["before"], found["after"]

    def grown(name: str, what: str = "count") -> int:
        both = [int(stats["inference_stats"].get(name, {}).get(what, 0)) for stats in (before, after)]
        return both[1] - both[0]

    photos = [int(stats.get("inference_count", 0)) for stats in (before, after)]
    assert photos[1] - photos[0] == PHOTOS * REQUESTS
    phases = ("queue", "compute_input", "compute_infer", "compute_output")
    assert [grown(name) for name in ("success", *phases)] == [REQUESTS] * 5
    assert grown("success", "ns") == sum(grown(name, "ns") for name in phases) > 0
    assert grown("fail") == 0
    assert found["all"] == [after]
    int(after["version"])  # as perf_analyzer reads it


def test_the_index_lists_the_model_and_its_state(found: dict[str, Any]) -> None:
    (model,) = found["index"]
    assert (model["name"], model["version"], model["state"]) == ("crowdserve", crowdserve.__version__, "READY")


def test_many_threads_may_ask_for_statistics_meanwhile(small_service: EmbeddedService) -> None:
    address = small_service.http_url.removeprefix("http://")

    def ask(_: int) -> int:
        with tritonclient.http.InferenceServerClient(address, network_timeout=120) as client:
            return len(client.get_inference_statistics("crowdserve")["model_stats"])

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(ask, range(12))) == {1}

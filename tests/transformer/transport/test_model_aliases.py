"""The model under the InferenceService's name, by which KServe's InferenceGraph and clients call it."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from kserve import InferenceGRPCClient, InferInput, InferRequest

from crowdserve.errors import SetupError
from crowdserve.local.processes import choose_ports
from crowdserve.local.service import EmbeddedService
from crowdserve_transformer.model import CrowdModel, load_classifier
from crowdserve_transformer.settings import Settings, read_settings
from crowdserve_transformer.transport.dataplane import CrowdDataPlane
from crowdserve_transformer.transport.rest import create_app
from crowdserve_transformer.transport.rpc.server import create_server
from tests.support.photos import expected_count, gray_photo
from tests.support.requests import json_body
from tests.transformer.transport.test_forms_of_a_photo import TEXT, count_of

NAMES = ("crowdserve", "rel", "rel-canary")
HOST = "127.0.0.1"


def settings(service: EmbeddedService, repository: Path) -> Settings:
    _, port, _ = choose_ports(HOST, None, None, None)
    return Settings(
        model_aliases="rel,rel-canary",
        host=HOST,
        grpc_port=port,
        predictor_host=service.triton.http_url,
        repository=repository,
        ready_timeout_seconds=20.0,
    )


async def over_rest(client: httpx.AsyncClient, name: str) -> dict[str, Any]:
    """What the service says of a model, and the counts of v1 and v2."""
    v2, v1 = f"/v2/models/{name}", f"/v1/models/{name}"
    infer = await client.post(f"{v2}/infer", json=json_body(gray_photo()))
    predict = await client.post(f"{v1}:predict", json={"instances": [{"b64": TEXT}]})
    named = {path: (await client.get(f"{v2}{path}")).json()["name"] for path in ("", "/ready", "/config")}
    stats = (await client.get(f"{v2}/stats")).json()["model_stats"][0]["name"]
    return {
        "names": {*named.values(), stats, infer.json()["model_name"], (await client.get(v1)).json()["name"]},
        "counts": [count_of(infer), count_of(predict)],
    }


async def over_grpc(client: InferenceGRPCClient, name: str) -> tuple[bool, str]:
    image = InferInput(name="image", shape=[1], datatype="BYTES", data=[gray_photo()])
    request = InferRequest(model_name=name, infer_inputs=[image])
    return await client.is_model_ready(name), (await client.infer(request)).model_name


@pytest.mark.e2e
def test_it_answers_to_every_name_with_that_name(small_service: EmbeddedService, small_repository: Path) -> None:
    async def calls() -> None:
        read = settings(small_service, small_repository)
        plane = CrowdDataPlane(CrowdModel(read, load_classifier(read)))
        server = create_server(plane)
        await server.start()
        grpc_client = InferenceGRPCClient(f"{HOST}:{read.grpc_port}", timeout=60, retries=0)
        transport = httpx.ASGITransport(create_app(plane))
        try:
            async with httpx.AsyncClient(transport=transport, base_url="http://x", timeout=60) as client:
                for name in NAMES:
                    found = await over_rest(client, name)
                    assert found["names"] == {name}
                    assert found["counts"] == pytest.approx([expected_count()] * 2, rel=1e-5)
                    assert await over_grpc(grpc_client, name) == (True, name)
                for path in (
                    "/v2/models/other",
                    "/v2/models/rel,rel-canary",
                    "/v1/models/re",
                    "/v2/models/rel/versions/9",
                ):
                    assert (await client.get(path)).status_code == 404
                assert (await client.get("/v2/models")).json() == {"models": ["crowdserve"]}
        finally:
            await grpc_client.close()
            await server.stop(0)
            await plane.model.close()

    asyncio.run(calls())


@pytest.mark.parametrize(
    ("text", "names"),
    [("", ()), ("rel", ("rel",)), (" rel , rel-canary,", ("rel", "rel-canary")), ("a b", ("a b",))],
)
def test_names_are_separated_by_commas(text: str, names: tuple[str, ...]) -> None:
    assert read_settings([f"--model_aliases={text}"], {}).model_names == ("crowdserve", *names)


@pytest.mark.parametrize("text", ["a/b", "a\nb"])
def test_a_name_that_no_url_can_have_is_refused(text: str) -> None:
    with pytest.raises(SetupError, match="expected names separated by commas"):
        read_settings([f"--model_aliases={text}"], {})

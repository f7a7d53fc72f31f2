"""A vgg16 that the scene classifier was not trained on has features of the right shape but must not be used."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from crowdserve.cards import ROUTES
from crowdserve.local.service import EmbeddedService
from crowdserve.local.triton import EmbeddedTriton
from crowdserve.triton.repository import render_repository
from tests.support.doors import Door
from tests.support.in_process import INFER, READY, in_process
from tests.support.photos import gray_photo
from tests.support.requests import json_body, outputs_of
from tests.support.scaled_features import scale_features
from tests.support.transformers import StartTransformer
from tests.support.waiting import wait_for

pytestmark = pytest.mark.e2e

UNUSABLE = "the scene classifier cannot be used with Triton's vgg16"
REFUSAL = "Triton's vgg16 is not the network that the scene classifier was trained on"


def test_wrong_vgg16_is_refused_until_the_right_one_is_served(
    client: httpx.Client,
    start_transformer: StartTransformer,
    small_repository: Path,
    small_service: EmbeddedService,
    tmp_path: Path,
) -> None:
    """Two Tritons at the same address in turn: the second takes the place of the first, and goes away for it again."""
    render_repository(small_repository, tmp_path / "wrong", "embedded")
    scale_features(tmp_path / "wrong", 1.1)

    def post(**message: Any) -> httpx.Response:
        return client.post(f"{running.http_url}/v2/models/crowdserve/infer", json=json_body(gray_photo(), **message))

    def is_ready() -> bool:
        return client.get(f"{running.http_url}/v2/health/ready").status_code == 200

    def check_refused() -> None:
        wait_for(lambda: REFUSAL in post().text)
        assert post().status_code == 503
        assert not is_ready()

    with (
        EmbeddedTriton(tmp_path / "wrong", threads=1) as wrong,
        Door(f"http://{wrong.http_url}") as door,
        start_transformer(door.url.removeprefix("http://"), ready_timeout_seconds=30) as running,
    ):
        check_refused()
        # The classifier is not needed, so its network does not matter.
        unclassified = post(parameters={"route": "dense", "counter": "csrnet"}, outputs=[{"name": "count"}])
        assert outputs_of(unclassified)["count"] == pytest.approx([120 * 200 / 255], rel=1e-5)
        door.close()
        assert not is_ready()  # and so it asks the next Triton at once
        door.open(f"http://{small_service.triton.http_url}")
        wait_for(is_ready)
        assert post().status_code == 200
        door.close()
        wait_for(lambda: not is_ready())  # as the probes of a cluster see it
        door.open(f"http://{wrong.http_url}")
        wait_for(lambda: client.get(f"{door.url}/v2/health/ready").status_code == 200)
        assert not is_ready()
        check_refused()
        log = running.process.log.read_text()
        assert log.count(UNUSABLE) == 2  # once per change, not per probe
        assert "off by 10.0%" in log
        assert "Traceback" not in log


def test_vgg16_of_the_project_matches_its_classifier(
    embedded_triton: EmbeddedTriton, embedded_repository: Path, caplog: pytest.LogCaptureFixture
) -> None:
    body = json_body(gray_photo(), outputs=[{"name": "scene"}])

    async def ask() -> tuple[int, httpx.Response]:
        async with in_process(embedded_triton.http_url, embedded_repository, ready_timeout_seconds=30) as client:
            return (await client.get(READY)).status_code, await client.post(INFER, json=body)

    ready, answer = asyncio.run(ask())
    assert ready == 200
    assert outputs_of(answer)["scene"][0] in ROUTES
    assert UNUSABLE not in caplog.text

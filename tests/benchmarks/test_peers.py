"""The peers of `make peers` run the weights that the service runs."""

import json
from pathlib import Path

import onnxruntime
import pytest
import torch

from benchmarks.peers.network import FOLDER_VARIABLE
from benchmarks.photo import jpeg_of
from crowdserve.images import decode_image
from tests.support.paths import ROOT


@torch.inference_mode()
def test_torchserves_handler_counts_what_the_served_network_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.peers.handler import handle

    folder: Path = ROOT / "model_repository" / "csrnet_b" / "1"
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder))
    jpeg = jpeg_of(ROOT / "examples" / "pedestrians.jpg", (320, 240))
    ((found,), nothing) = handle([{"body": jpeg}], None), handle(None, None)
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    (count,) = session.run(["count"], {"image": decode_image(jpeg)[None]})
    assert json.loads(json.dumps(found))["count"] == pytest.approx(float(count[0, 0]), rel=1e-3)
    assert nothing == []

"""Answers of the project's networks: by onnxruntime alone, and by a Triton that runs."""

from collections.abc import Callable
from pathlib import Path

import onnxruntime
from tritonclient.http import InferenceServerClient, InferInput

from crowdserve.cards import ModelCard
from crowdserve.local.triton import EmbeddedTriton
from crowdserve.triton.repository import model_versions
from export.verify.parity import Images, Outputs


def bare(repository: Path, card: ModelCard) -> Callable[[Images], Outputs]:
    """A model of a repository, run by onnxruntime."""
    path = repository / card.name / str(model_versions(repository, card.name)[-1]) / "model.onnx"
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [tensor.name for tensor in card.outputs]
    return lambda images: dict(zip(names, session.run(names, {card.input.name: images}), strict=True))


def served(triton: EmbeddedTriton, model: str, images: Images, names: list[str]) -> Outputs:
    """Outputs of a model of a running Triton."""
    tensor = InferInput("image", images.shape, "UINT8")
    tensor.set_data_from_numpy(images)
    with InferenceServerClient(triton.http_url, network_timeout=300) as client:
        answer = client.infer(model, [tensor])
    return {name: answer.as_numpy(name) for name in names}

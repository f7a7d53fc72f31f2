"""Files that several folders of tests need."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from crowdserve.cards import CARDS
from crowdserve.local.service import EmbeddedService
from crowdserve.local.triton import EmbeddedTriton
from crowdserve.triton.repository import render_repository
from tests.support.paths import ROOT
from tools.stub_models import write_small_repository

if TYPE_CHECKING:
    from crowdserve.nets.ssdcnet import SSDCNet

pytest_plugins = ["tests.support.frameworks", "tests.support.helm", "tests.support.run_guard"]

ConvWeights = list[tuple[np.ndarray, np.ndarray]]

# CSRNet as its paper's Table 3 gives it (configuration B), written out again so that it checks the package's own.
CSRNET_SHAPES = [
    *((3, 3, i, o) for i, o in [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 256)]),
    *((3, 3, i, o) for i, o in [(256, 512), (512, 512), (512, 512)]),
    *((3, 3, i, o) for i, o in [(512, 512), (512, 512), (512, 512), (512, 256), (256, 128), (128, 64)]),
    (1, 1, 64, 1),
]

# The two ways in which published files name the layers: front-end and back-end.
PUBLISHED_LAYOUTS = {
    "numbered": ([f"conv2d_{i}" for i in range(1, 11)], [f"conv2d_{i}" for i in range(11, 18)]),
    "blocks": (
        [f"block{b}_conv{c}" for b, n in enumerate((2, 2, 3, 3), 1) for c in range(1, n + 1)],
        [f"conv2d_{i}" for i in range(1, 8)],
    ),
}


@pytest.fixture(scope="session")
def csrnet_weights() -> ConvWeights:
    """Random weights that keep the signal's variance, with a density that is positive nearly everywhere.

    They are FP16 numbers, so that an exported network must equal its framework network to FP32's accuracy.
    """
    rng = np.random.default_rng(7)
    weights = []
    for shape in CSRNET_SHAPES:
        deviation = np.sqrt(2 / np.prod(shape[:3]))
        kernel = rng.standard_normal(shape, np.float32) * np.float32(deviation)
        weights.append((kernel, rng.uniform(0, 0.1, shape[3]).astype(np.float32)))
    kernel, bias = weights[-1]
    weights[-1] = (kernel * 0.05, bias + 0.05)
    return [tuple(array.astype(np.float16).astype(np.float32) for array in pair) for pair in weights]


@pytest.fixture(params=PUBLISHED_LAYOUTS)
def published_layout(request: pytest.FixtureRequest) -> str:
    """Each of the two layouts of published CSRNet files."""
    return request.param


@pytest.fixture(scope="session")
def write_published() -> Callable[..., Path]:
    """Writes weights as Keras 2.2's `save_weights` does: `write_published(path, weights, layout)`."""

    def write(path: Path, weights: ConvWeights, layout: str = "numbered") -> Path:
        front_end, back_end = PUBLISHED_LAYOUTS[layout]
        convs = dict(zip((*front_end, *back_end), weights, strict=False))
        with h5py.File(path, "w") as file:
            names = ["input_1", *front_end[:2], "max_pooling2d_1", *front_end[2:], *back_end]
            file.attrs["layer_names"] = [name.encode() for name in names]
            file.attrs["backend"], file.attrs["keras_version"] = b"tensorflow", b"2.2.4"
            for name in names:
                _write_layer(file.create_group(name), name, convs.get(name))
        return path

    def _write_layer(group: h5py.Group, name: str, weights: tuple[np.ndarray, np.ndarray] | None) -> None:
        tensors = {} if weights is None else {f"{name}/kernel:0": weights[0], f"{name}/bias:0": weights[1]}
        group.attrs["weight_names"] = [tensor.encode() for tensor in tensors]
        for tensor, array in tensors.items():
            group.create_dataset(tensor, data=array)

    return write


@pytest.fixture(scope="session")
def ssdcnet() -> "SSDCNet":
    """An SSDCNet of random weights that keep the signal's variance; they are FP16 numbers."""
    import torch

    from crowdserve.nets.ssdcnet import SSDCNet

    net = SSDCNet(CARDS["ssdcnet_sha"].max_local_count or 0)
    draw = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for name, tensor in net.named_parameters():
            if name.endswith("bias"):
                tensor.uniform_(0, 0.1, generator=draw)
            else:
                tensor.normal_(0, (2 / tensor[0].numel()) ** 0.5, generator=draw)
            tensor.copy_(tensor.half().float())
    return net.eval()


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eleven labelled pictures of 96x72 px in UCF_CC_50's layout: white dots on grey, one a head."""
    folder = tmp_path_factory.mktemp("ucf")
    draw = np.random.default_rng(0)
    for n in range(11):
        points = draw.uniform(8, [88, 64], (n + 1, 2))
        picture = np.full((72, 96, 3), 90, np.uint8)
        for x, y in points.astype(int):
            picture[y - 2 : y + 2, x - 2 : x + 2] = 250
        Image.fromarray(picture).save(folder / f"{n}.png")
        savemat(folder / f"{n}_ann.mat", {"annPoints": points})
    return folder


@pytest.fixture(scope="session")
def project_repository() -> Path:
    """The repository that the project carries, with its trained models."""
    return ROOT / "model_repository"


@pytest.fixture(scope="session")
def small_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real models that obey the cards and answer in milliseconds what can be computed; see `write_small_repository`."""
    repository = tmp_path_factory.mktemp("small") / "repository"
    write_small_repository(repository)
    return repository


def _is_complete(repository: Path) -> bool:
    return all((repository / name / "1" / "model.onnx").is_file() for name in CARDS)


@pytest.fixture(scope="session")
def embedded_repository(
    project_repository: Path, small_repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The embedded profile of the project's repository; of the small one as long as a network is not trained."""
    source = project_repository if _is_complete(project_repository) else small_repository
    target = tmp_path_factory.mktemp("embedded") / "repository"
    render_repository(source, target, "embedded")
    return target


@pytest.fixture(scope="session")
def embedded_triton(embedded_repository: Path) -> Iterator[EmbeddedTriton]:
    """The real Triton with the project's models."""
    with EmbeddedTriton(embedded_repository) as triton:
        yield triton


@pytest.fixture(scope="session")
def small_service(small_repository: Path) -> Iterator[EmbeddedService]:
    """The whole service, a real Triton and the real transformer, with the small models."""
    with EmbeddedService(small_repository, threads=1) as service:
        yield service

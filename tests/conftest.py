"""Repositories, networks, a dataset and running services for the tests of several folders.

Every process of a run loads this module first, xdist's own too: what takes long to import, a fixture imports.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from crowdserve.cards import CARDS
from crowdserve.local.service import EmbeddedService
from crowdserve.local.triton import EmbeddedTriton
from crowdserve.triton.config import PRECISION_VARIABLE
from crowdserve.triton.repository import render_repository
from tests.support.paths import REPOSITORY
from tests.support.weights import PUBLISHED_LAYOUTS, ConvWeights, random_csrnet_weights

if TYPE_CHECKING:
    from crowdserve.nets.ssdcnet import SSDCNet

settings.register_profile("unhurried", settings.default, deadline=None)  # another process may hold the processor
settings.load_profile("unhurried")

os.environ[PRECISION_VARIABLE] = "fp32"  # the same counts on every machine; tests of other precisions name theirs

pytest_plugins = [
    "tests.support.cluster.fixtures",
    "tests.support.frameworks",
    "tests.support.garbage",
    "tests.support.helm",
    "tests.support.postgres",
    "tests.support.run_guard",
    "tests.support.services",
]


@pytest.fixture(scope="session")
def csrnet_weights() -> ConvWeights:
    """Random FP16 weights of CSRNet."""
    return random_csrnet_weights()


@pytest.fixture(params=PUBLISHED_LAYOUTS)
def published_layout(request: pytest.FixtureRequest) -> str:
    """Each of the two layouts of published CSRNet files."""
    return request.param


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


@pytest.fixture(scope="module")
def module_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for the networks that a module's tests share, removed after the last of them: they are large.

    Those of pytest's factory would stay until the run ends.
    """
    folder = tmp_path_factory.mktemp("module")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eleven labelled photos in the layout of UCF_CC_50; see `write_dotted_photos`."""
    from tests.support.datasets import write_dotted_photos

    return write_dotted_photos(tmp_path_factory.mktemp("ucf"))


@pytest.fixture(scope="session")
def small_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real models that obey the cards and give predictable counts in milliseconds; see `write_small_repository`."""
    from tools.stub_models import write_small_repository

    repository = tmp_path_factory.mktemp("small") / "repository"
    write_small_repository(repository)
    return repository


def _is_complete(repository: Path) -> bool:
    return all((repository / name / "1" / "model.onnx").is_file() for name in CARDS)


@pytest.fixture(scope="session")
def embedded_repository(small_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded profile of the project's repository, or of the small one while a network is not yet trained."""
    source = REPOSITORY if _is_complete(REPOSITORY) else small_repository
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

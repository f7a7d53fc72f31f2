"""The running service and transformers of other settings, all with the small models."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest

from crowdserve.local.service import EmbeddedService
from tests.support.requests import TIMEOUT_SECONDS
from tests.support.transformers import RunningTransformer, StartTransformer, run_transformer


@pytest.fixture(scope="session")
def infer_url(small_service: EmbeddedService) -> str:
    """The URL of v2 inference on the shared service."""
    return f"{small_service.http_url}/v2/models/crowdserve/infer"


@pytest.fixture(scope="session")
def client() -> Iterator[httpx.Client]:
    """An HTTP client that waits long enough for a busy machine."""
    with httpx.Client(timeout=TIMEOUT_SECONDS, trust_env=False) as client:
        yield client


@pytest.fixture(scope="session")
def start_transformer(small_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> StartTransformer:
    """`with start_transformer(triton_address, setting=value) as running:` runs one with other settings."""

    def start(predictor: str, **settings: object) -> AbstractContextManager[RunningTransformer]:
        repository = settings.pop("repository", small_repository)
        folder = tmp_path_factory.mktemp("transformer")
        return run_transformer(predictor, repository=Path(str(repository)), folder=folder, **settings)

    return start

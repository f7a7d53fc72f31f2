"""A transformer's REST interface within the test's own process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from crowdserve_transformer.model import CrowdModel, load_classifier
from crowdserve_transformer.settings import Settings
from crowdserve_transformer.transport.dataplane import CrowdDataPlane
from crowdserve_transformer.transport.rest import create_app

INFER = "/v2/models/crowdserve/infer"
READY = "/v2/health/ready"


@asynccontextmanager
async def in_process(predictor: str, repository: Path, **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a transformer in front of the Triton at an address, while the block runs."""
    read = Settings(predictor_host=predictor, repository=repository, **{"ready_timeout_seconds": 20.0, **settings})
    model = CrowdModel(read, load_classifier(read))
    transport = httpx.ASGITransport(create_app(CrowdDataPlane(model)))
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://crowdserve", timeout=60) as client:
            yield client
    finally:
        await model.close()

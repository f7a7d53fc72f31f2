"""Two thousand requests made from the service's own OpenAPI document, valid and broken ones.

None ends in a 5xx, and every answer has the form that the document says.
"""

import base64
import json
import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import checks
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from crowdserve.images import FORMATS
from crowdserve.local.service import EmbeddedService
from crowdserve.protocol.headers import JSON_LENGTH_HEADER
from tests.support.photos import gray_photo
from tests.support.requests import TIMEOUT_SECONDS, binary_body, infer

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not os.environ.get("CROWDSERVE_HOSTILE_TEST"), reason="make openapi-test"),
]

EXAMPLES = {"post": 300, "get": 15}
"""Examples of each operation, of valid and of broken requests each."""

LEAST_EXAMPLES = 2000
BINARY = "application/octet-stream"
CHECKS = [
    checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
PHOTOS = [gray_photo(gray, 40, 24, file_format) for file_format in FORMATS for gray in (20, 200)]
FILES = [*PHOTOS, b"", b"text", *(photo[: len(photo) // 2] for photo in PHOTOS)]


def binary_bodies() -> st.SearchStrategy[bytes]:
    """Bodies of the binary extension, some cut or with bytes that do not belong there."""
    whole = st.lists(st.sampled_from(FILES), min_size=1, max_size=3).map(lambda files: binary_body(files)[0])
    cut = st.builds(lambda body, end: body[:end], whole, st.integers(0, 400))
    return st.one_of(whole, cut, st.builds(bytes.__add__, whole, st.binary(max_size=20)), st.binary(max_size=200))


def with_files(value: Any, files: list[bytes]) -> Any:
    """A document in which each base64 text of a request is one of some files: random text is never an image."""
    if isinstance(value, dict):
        if value.get("contentEncoding") == "base64":
            return {"type": "string", "enum": [base64.b64encode(file).decode() for file in files]}
        return {key: each if key.endswith("Response") else with_files(each, files) for key, each in value.items()}
    return [with_files(each, files) for each in value] if isinstance(value, list) else value


def true_length(body: bytes) -> int:
    """Length of the JSON part of a body of the binary extension; of a broken one, some length."""
    try:
        return json.JSONDecoder().raw_decode(body.decode("latin-1"))[1]
    except json.JSONDecodeError:
        return len(body) // 2


def make_consistent(case: schemathesis.Case) -> None:
    """Let a request's lengths and shapes say what it holds, which a schema cannot ask for."""
    if case.media_type == BINARY and isinstance(case.body, bytes):
        case.headers[JSON_LENGTH_HEADER] = str(true_length(case.body))
        return
    case.headers.pop(JSON_LENGTH_HEADER, None)
    inputs = case.body.get("inputs") if isinstance(case.body, dict) else None
    for tensor in inputs if isinstance(inputs, list) else ():
        if isinstance(tensor, dict) and isinstance(tensor.get("data"), list) and tensor.get("datatype") == "BYTES":
            tensor["shape"] = [len(tensor["data"])]


@pytest.fixture(scope="module")
def described(small_service: EmbeddedService) -> dict[str, Any]:
    """The running service's document."""
    schemathesis.openapi.media_type(BINARY, binary_bodies())
    return httpx.get(f"{small_service.http_url}/openapi.json", trust_env=False).json()


@pytest.fixture(scope="module")
def statuses(small_service: EmbeddedService) -> Iterator[Counter[int]]:
    """The statuses of all examples; when they are through, the service is as well as before."""
    counted: Counter[int] = Counter()
    yield counted
    print(f"\n{counted.total()} examples: {dict(sorted(counted.items()))}")
    assert counted.total() >= LEAST_EXAMPLES
    assert {200, 400, 404} <= set(counted)
    assert "count" in infer(f"{small_service.http_url}/v2/models/crowdserve/infer", gray_photo())


@pytest.mark.parametrize("mode", schemathesis.GenerationMode, ids=lambda mode: mode.value)
def test_no_example_ends_in_a_server_error(
    small_service: EmbeddedService,
    described: dict[str, Any],
    statuses: Counter[int],
    mode: schemathesis.GenerationMode,
) -> None:
    document = with_files(described, PHOTOS if mode.is_positive else FILES)
    config = SchemathesisConfig.from_dict({"base-url": small_service.http_url})
    schema = schemathesis.openapi.from_dict(document, config=config)
    for found in schema.get_all_operations():
        operation = found.ok()

        @seed(20)
        @settings(
            max_examples=EXAMPLES[operation.method.lower()],
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(mode), consistent=st.booleans())
        def send(case: schemathesis.Case, consistent: bool) -> None:
            if consistent:
                make_consistent(case)
            response = case.call(timeout=TIMEOUT_SECONDS)
            statuses[response.status_code] += 1
            case.validate_response(response, checks=CHECKS)

        send()

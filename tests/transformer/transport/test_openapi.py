"""The OpenAPI document: valid, complete, and true of the running service."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema
import pytest
from openapi_spec_validator import validate

from crowdserve.cards import COUNTER_CHOICES, ROUTE_CHOICES
from crowdserve.local.service import EmbeddedService
from crowdserve.protocol.headers import JSON_LENGTH_HEADER
from crowdserve.protocol.tensors import OUTPUTS
from crowdserve_transformer.counting.parameters import KNOWN
from crowdserve_transformer.settings import Settings
from crowdserve_transformer.transport.openapi.document import document, method_of
from crowdserve_transformer.transport.openapi.operations import OPERATIONS
from crowdserve_transformer.transport.openapi.statuses import OF_CONNECTIONS, OF_HTTP, request_errors
from tests.docs.pages import DOCS
from tests.support.photos import gray_photo
from tests.support.requests import binary_body, json_body
from tools.reference.api import rest_routes

DOCUMENT = document(rest_routes(), Settings())
OPERATION = [(path, method) for path, item in DOCUMENT["paths"].items() for method in item]


def described(path: str, method: str) -> dict[str, Any]:
    return DOCUMENT["paths"][path][method]


def check(value: Any, schema: str) -> None:
    """Fail unless a value has the form of a named schema of the document."""
    jsonschema.validate(value, {"$ref": f"#/components/schemas/{schema}", "components": DOCUMENT["components"]})


def test_the_document_is_valid() -> None:
    validate(DOCUMENT)


def test_every_route_is_in_the_document_and_nothing_else() -> None:
    routes = {(route.path, method_of(route).lower()) for route in rest_routes()}
    assert routes == set(OPERATION)


def test_metrics_are_in_the_document_where_they_share_the_port() -> None:
    settings = Settings(metrics_port=0)
    routes = rest_routes(settings)
    assert {route.endpoint.__name__ for route in routes} == set(OPERATIONS)
    made = document(routes, settings)
    validate(made)
    assert set(made["paths"]) - set(DOCUMENT["paths"]) == {"/metrics"}
    assert not made["paths"]["/metrics"]["get"]["responses"]["200"]["headers"]


def test_ids_are_unique() -> None:
    ids = [described(*each)["operationId"] for each in OPERATION]
    assert len(ids) == len(set(ids)) == len(rest_routes())


def test_the_reference_lists_the_same_paths_statuses_and_meanings() -> None:
    text = (DOCS / "reference/api.md").read_text()
    rows = re.findall(r"^\| (GET|POST) \| `(.+?)` \| (.+?)\.? \|$", text, re.MULTILINE)
    assert rows == [(method.upper(), path, described(path, method)["summary"]) for path, method in OPERATION]
    statuses = {int(status) for status in re.findall(r"^\| (\d{3}) \|", text, re.MULTILINE)}
    assert statuses == {error.http_status for error in request_errors()} | {*OF_HTTP, *OF_CONNECTIONS}


def test_inference_lists_every_status_of_an_error_of_a_request() -> None:
    for path in ("/v2/models/{name}/infer", "/v1/models/{name}:predict"):
        listed = {int(status) for status in described(path, "post")["responses"]}
        assert listed == {200, 404, 500, *OF_CONNECTIONS} | {error.http_status for error in request_errors()}


@pytest.mark.parametrize(("path", "method"), OPERATION)
def test_an_error_has_the_body_of_errors_and_503_says_when_to_try_again(path: str, method: str) -> None:
    for status, response in described(path, method)["responses"].items():
        if status == "200":
            continue
        (content,) = response["content"].values()
        for schema in content["schema"].get("anyOf", [content["schema"]]):
            name = schema["$ref"].rpartition("/")[2]
            assert "error" in DOCUMENT["components"]["schemas"][name]["required"]
        assert ("Retry-After" in response["headers"]) == (status in {"429", "503"})


def test_limits_choices_and_names_are_those_of_the_settings() -> None:
    settings = Settings(model_name="crowds", model_aliases="rel,rel-canary", max_batch_size=3, route="blend")
    made = document(rest_routes(), settings)
    schemas = made["components"]["schemas"]
    assert schemas["PredictRequest"]["properties"]["instances"]["maxItems"] == 3
    assert made["components"]["parameters"]["name"]["schema"]["enum"] == ["crowds", "rel", "rel-canary"]
    assert schemas["ModelConfig"]["properties"]["max_batch_size"] == {"const": 3}
    parameters = schemas["Parameters"]["properties"]
    assert parameters["route"] == {"enum": list(ROUTE_CHOICES), "default": "blend"}
    assert parameters["counter"]["enum"] == list(COUNTER_CHOICES)
    assert set(KNOWN) <= set(parameters)
    assert schemas["RequestedOutput"]["properties"]["name"]["enum"] == list(OUTPUTS)


@pytest.mark.e2e
def test_the_service_serves_it(client: httpx.Client, small_service: EmbeddedService) -> None:
    response = client.get(f"{small_service.http_url}/openapi.json")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.json()["paths"] == DOCUMENT["paths"]


def examples() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, method in OPERATION:
        body = described(path, method).get("requestBody")
        if body:
            yield path.replace("{name}", "crowdserve"), body["content"]["application/json"]["example"]


@pytest.mark.e2e
def test_the_examples_are_answered(client: httpx.Client, small_service: EmbeddedService) -> None:
    sent = [(path, body) for path, body in examples() if "{version}" not in path]
    assert len(sent) == 3
    for path, body in sent:
        kind = {"infer": "InferRequest", "predict": "PredictRequest"}.get(re.split("[:/]", path)[-1])
        if kind:
            check(body, kind)
        response = client.post(small_service.http_url + path, json=body)
        assert response.status_code == 200, response.text
        check(response.json(), kind.replace("Request", "Response") if kind else "Index")


@pytest.mark.e2e
def test_answers_with_everything_have_the_described_form(client: httpx.Client, infer_url: str) -> None:
    everything = {"parameters": {"counter": "average", "density": True, "heatmap": True}}
    message = json_body(gray_photo(), gray_photo(20), **everything)
    check(message, "InferRequest")
    check(client.post(infer_url, json=message).json(), "InferResponse")
    body, headers = binary_body([gray_photo()], parameters={"density": True, "binary_data_output": True})
    check(httpx.Response(200, content=body[: int(headers["Inference-Header-Content-Length"])]).json(), "InferRequest")
    response = client.post(infer_url, content=body, headers=headers)
    length = int(response.headers[JSON_LENGTH_HEADER])
    check(httpx.Response(200, content=response.content[:length]).json(), "InferResponse")
    instance = {"image_bytes": message["inputs"][0]["data"][0]}
    predict = {"instances": [{"image_bytes": {"b64": instance["image_bytes"]}}], **everything}
    check(predict, "PredictRequest")
    url = infer_url.replace("/v2/", "/v1/").replace("/infer", ":predict")
    check(client.post(url, json=predict).json(), "PredictResponse")


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("path", "schema"),
    [
        ("/", "Live"),
        ("/v2/health/ready", "Ready"),
        ("/v2/models/crowdserve/ready", "Ready"),
        ("/v2", "Server"),
        ("/v2/models", "Models"),
        ("/v2/models/crowdserve", "Model"),
        ("/v2/models/crowdserve/config", "ModelConfig"),
        ("/v2/models/crowdserve/stats", "Statistics"),
        ("/v2/models/stats", "Statistics"),
        ("/v2/models/other", "Error"),
        ("/nowhere", "Error"),
    ],
)
def test_other_answers_have_the_described_form(
    client: httpx.Client, small_service: EmbeddedService, path: str, schema: str
) -> None:
    check(client.get(small_service.http_url + path).json(), schema)

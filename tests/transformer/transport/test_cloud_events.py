"""CloudEvents, with the SDK's own data plane and the events' own library as oracles."""

import base64
import json
from typing import Any

import httpx
import pytest
from cloudevents.conversion import to_binary, to_structured
from cloudevents.http import CloudEvent, from_http
from kserve import ModelRepository
from kserve.protocol.dataplane import DataPlane

from crowdserve.errors import InvalidRequest, UnsupportedMedia
from crowdserve.local.service import EmbeddedService
from crowdserve.protocol.headers import JSON_LENGTH_HEADER
from crowdserve_transformer.transport.cloud_events import Envelope
from tests.support.photos import expected_count, gray_photo
from tests.support.requests import json_body
from tests.transformer.transport.test_forms_of_a_photo import count_of

V2, V1 = "/v2/models/crowdserve/infer", "/v1/models/crowdserve:predict"
BODIES: dict[str, dict[str, Any]] = {
    V2: json_body(gray_photo()),
    V1: {"instances": [{"image_bytes": {"b64": base64.b64encode(gray_photo()).decode()}}]},
}
ATTRIBUTES = {"type": "photo.taken", "source": "/cameras/7", "id": "36077800", "time": "2026-05-01T10:00:00Z"}


def event(data: Any, **attributes: str) -> CloudEvent:
    return CloudEvent({**ATTRIBUTES, "place": "gate", **attributes}, data)


def of_the_sdk(headers: dict[str, str], content: dict[str, Any]) -> CloudEvent:
    """The event in which the SDK's data plane answers a request of these headers."""
    answer, sent = DataPlane(ModelRepository()).encode("crowdserve", content, headers, dict(ATTRIBUTES))
    return from_http(sent, answer)


@pytest.mark.e2e
@pytest.mark.parametrize("mode", ["binary", "structured"])
@pytest.mark.parametrize("path", BODIES)
class TestOnTheWire:
    def test_an_event_is_answered_as_by_the_sdk(
        self, client: httpx.Client, small_service: EmbeddedService, path: str, mode: str
    ) -> None:
        headers, content = to_binary(event(BODIES[path])) if mode == "binary" else to_structured(event(BODIES[path]))
        headers = {"content-type": "application/json", **headers}
        response = client.post(small_service.http_url + path, content=content, headers=headers)
        assert response.status_code == 200, response.text
        answer = from_http(dict(response.headers), response.content)
        oracle = of_the_sdk(headers, answer.data)
        ignored = {"id", "time", "datacontenttype"}
        assert {k: v for k, v in answer.get_attributes().items() if k not in ignored} == {
            k: v for k, v in oracle.get_attributes().items() if k not in ignored
        }
        assert answer["id"] not in {ATTRIBUTES["id"], oracle["id"]}
        assert response.headers["content-type"] == {
            "binary": "application/json",
            "structured": "application/cloudevents+json",
        }.get(mode)
        assert count_of(httpx.Response(200, json=answer.data)) == pytest.approx(expected_count(), rel=1e-5)

    def test_a_photo_may_be_the_data(
        self, client: httpx.Client, small_service: EmbeddedService, path: str, mode: str
    ) -> None:
        sent = event(gray_photo(), datacontenttype="image/png")
        headers, content = to_binary(sent) if mode == "binary" else to_structured(sent)
        assert mode == "binary" or "data_base64" in json.loads(content)
        headers = {("content-type" if name == "datacontenttype" else name): value for name, value in headers.items()}
        response = client.post(small_service.http_url + path, content=content, headers=headers)
        answer = from_http(dict(response.headers), response.content)
        assert answer["type"] == "io.kserve.inference.response"
        assert count_of(httpx.Response(200, json=answer.data)) == pytest.approx(expected_count(), rel=1e-5)

    def test_an_error_is_no_event(
        self, client: httpx.Client, small_service: EmbeddedService, path: str, mode: str
    ) -> None:
        headers, content = to_binary(event({})) if mode == "binary" else to_structured(event({}))
        response = client.post(small_service.http_url + path, content=content, headers=headers)
        assert response.status_code == 400
        assert response.headers["content-type"] == "application/json"
        assert list(response.json()) == ["error"]


@pytest.mark.e2e
def test_binary_tensors_in_events(client: httpx.Client, infer_url: str) -> None:
    """Binary mode keeps the form of the body; structured mode has it in base64."""
    body = {**BODIES[V2], "parameters": {"binary_data_output": True}}
    headers, content = to_binary(event(body))
    binary = client.post(infer_url, content=content, headers={**headers, "content-type": "application/json"})
    assert binary.headers["content-type"] == "application/octet-stream"
    assert binary.headers["ce-type"] == "io.kserve.inference.response"
    headers, content = to_structured(event(body))
    structured = client.post(infer_url, content=content, headers=headers)
    data = base64.b64decode(structured.json()["data_base64"])
    length = int(structured.headers[JSON_LENGTH_HEADER])
    assert json.loads(data[:length])["outputs"][0]["name"] == "count"
    assert len(data) == len(binary.content)


@pytest.mark.parametrize("merged", [False, True])
def test_the_environment_of_the_sdk_is_heeded(monkeypatch: pytest.MonkeyPatch, merged: bool) -> None:
    monkeypatch.setenv("CE_TYPE", "crowd.counted")
    monkeypatch.setenv("CE_SOURCE", "/counters/1")
    monkeypatch.setenv("CE_MERGE", str(merged).lower())
    body = json.dumps({"specversion": "1.0", **ATTRIBUTES, "place": "gate", "data": {}}).encode()
    for headers in (
        {"content-type": "application/cloudevents+json; charset=utf-8"},
        {"ce-specversion": "1.0", "ce-place": "gate", **{f"ce-{name}": value for name, value in ATTRIBUTES.items()}},
    ):
        envelope = Envelope(headers, "crowdserve")
        envelope.opened(body, headers)
        content, sent = envelope.closed(b"{}", {"content-type": "application/json"})
        answer = from_http(dict(sent), content)
        assert (answer["type"], answer["source"]) == ("crowd.counted", "/counters/1")
        assert answer.get_attributes().get("place") == ("gate" if merged else None)
        assert answer["id"] != ATTRIBUTES["id"]
        assert answer["time"] != ATTRIBUTES["time"]


def test_an_answer_has_not_the_type_of_the_photo_in_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK leaves it in a structured answer; a consumer would take JSON for a picture."""
    monkeypatch.setenv("CE_MERGE", "true")
    headers, content = to_structured(event(gray_photo(), datacontenttype="image/png"))
    envelope = Envelope(headers, "crowdserve")
    envelope.opened(content, headers)
    content, sent = envelope.closed(b'{"predictions": []}', {"content-type": "application/json"})
    answer = from_http(dict(sent), content)
    assert answer.data == {"predictions": []}
    assert answer.get_attributes().get("datacontenttype") in {None, "application/json"}


STRUCTURED = {"content-type": "application/cloudevents+json"}
WHOLE = {"specversion": "1.0", **ATTRIBUTES, "data": {}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": None}, "lacks id; expected text for specversion, id, source, type"),
        ({"source": 7}, "lacks source"),
        ({"type": ""}, "lacks type"),
        ({"specversion": "2.0"}, "specversion '2.0'; expected one of 1.0, 0.3"),
        ({"data": None}, "has no data"),
        ({"data": "text"}, "has other data"),
        ({"data": None, "data_base64": "%"}, "not base64"),
    ],
)
def test_what_is_no_event_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        Envelope(STRUCTURED, "crowdserve").opened(json.dumps({**WHOLE, **change}).encode(), STRUCTURED)


@pytest.mark.parametrize(
    "data",
    [
        {"data": '{"instances": []}'},
        {
            "data": base64.b64encode(b'{"instances": []}').decode(),
            "datacontentencoding": "base64",
            "specversion": "0.3",
        },
        {"data": base64.b64encode(b'{"instances": []}').decode(), "datacontentencoding": "BASE64"},
    ],
)
def test_data_may_be_a_text_of_json_and_of_base64_as_in_an_earlier_version(data: dict[str, str]) -> None:
    content, _ = Envelope(STRUCTURED, "crowdserve").opened(json.dumps({**WHOLE, **data}).encode(), STRUCTURED)
    assert bytes(content) == b'{"instances": []}'


def test_deep_nests_are_refused() -> None:
    deep = b'{"a":' * 300 + b"1" + b"}" * 300
    body = json.dumps({**WHOLE, "data": 0}).encode().replace(b'"data": 0', b'"data": ' + deep)
    with pytest.raises(InvalidRequest, match="data cannot be read: Recursion limit"):
        Envelope(STRUCTURED, "crowdserve").opened(body, STRUCTURED)


def test_other_bodies_and_batches_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="must be a JSON object, not a list"):
        Envelope(STRUCTURED, "crowdserve").opened(b"[]", STRUCTURED)
    with pytest.raises(UnsupportedMedia, match="each event in a request of its own"):
        Envelope({"content-type": "application/cloudevents-batch+json"}, "crowdserve")
    with pytest.raises(InvalidRequest, match="specversion '7'"):
        Envelope({"ce-specversion": "7", "ce-id": "1", "ce-source": "/", "ce-type": "t"}, "crowdserve")


def test_a_body_that_is_no_event_stays_as_it_is() -> None:
    headers = {"content-type": "application/json", "ce-id": "7", "ce-type": "of a proxy"}
    envelope = Envelope(headers, "crowdserve")
    body = b"{}"
    assert envelope.opened(body, headers) == (body, headers)
    assert envelope.closed(body, headers) == (body, headers)


@pytest.mark.parametrize("name", ["Specversion", "DATA", "DataContentType", "", "a-b", "or\u00f6", "a\nb"])
def test_a_name_that_no_attribute_has_is_not_repeated(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The library for events makes them lower-case, so that one might stand in another's place."""
    monkeypatch.setenv("CE_MERGE", "true")
    envelope = Envelope(STRUCTURED, "crowdserve")
    envelope.opened(json.dumps({**WHOLE, name: "7"}).encode(), STRUCTURED)
    content, _ = envelope.closed(b"{}", {"content-type": "application/json"})
    members = json.loads(content, object_pairs_hook=list)
    assert "7" not in dict(members).values()
    assert len(dict(members)) == len(members)


@pytest.mark.parametrize("change", [{"id": "x" * 2000}, {"time": None}, {"time": [[]]}])
def test_an_answer_does_not_need_the_id_and_time_of_the_request(
    monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    monkeypatch.setenv("CE_MERGE", "true")
    envelope = Envelope(STRUCTURED, "crowdserve")
    envelope.opened(json.dumps({**WHOLE, **change}).encode(), STRUCTURED)
    content, sent = envelope.closed(b"{}", {"content-type": "application/json"})
    answer = from_http(dict(sent), content)
    assert answer["id"] not in {"", ATTRIBUTES["id"], change.get("id")}
    assert answer["time"] not in {"", ATTRIBUTES["time"]}


def test_an_attribute_without_measure_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CE_MERGE", "true")
    many = {f"a{number}": "x" for number in range(4000)}
    envelope = Envelope(STRUCTURED, "crowdserve")
    envelope.opened(json.dumps({**WHOLE, "long": "x" * 10**6, "deep": [[]], **many}).encode(), STRUCTURED)
    content, _ = envelope.closed(b"{}", {"content-type": "application/json"})
    assert len(content) < 5000

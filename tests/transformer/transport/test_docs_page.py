"""The page at /docs: whole, escaped, and nothing that a browser would load or run."""

import base64
import copy
import hashlib
import re
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest

from crowdserve.local.service import EmbeddedService
from crowdserve_transformer.settings import Settings
from crowdserve_transformer.transport.openapi.document import document
from crowdserve_transformer.transport.openapi.page import HEADERS, page
from tools.reference.api import rest_routes

DOCUMENT = document(rest_routes(), Settings())
UNCLOSED = {"meta"}


class Read(HTMLParser):
    """What a page consists of; fails on an element that is closed in the wrong place."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs
        if tag not in UNCLOSED:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def values(read: Read, name: str) -> set[str | None]:
    return {value for attribute, value in read.attributes if attribute == name}


def test_every_operation_and_schema_is_on_the_page() -> None:
    read = Read(page(DOCUMENT))
    operations = {operation["operationId"] for item in DOCUMENT["paths"].values() for operation in item.values()}
    schemas = {f"schema-{name}" for name in DOCUMENT["components"]["schemas"]}
    assert values(read, "id") == operations | schemas
    assert set(DOCUMENT["paths"]) <= set(read.texts)
    links = {str(link) for link in values(read, "href")}
    assert links - {"openapi.json"} <= {f"#{name}" for name in schemas}


def test_a_browser_loads_and_runs_nothing() -> None:
    text = page(DOCUMENT)
    read = Read(text)
    assert not read.tags & {"script", "link", "img", "iframe", "form", "object", "embed", "base"}
    assert {name for name, _ in read.attributes} <= {"lang", "charset", "class", "id", "href"}
    policy = HEADERS["content-security-policy"]
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.split("; ")[:2] == ["default-src 'none'", f"style-src 'sha256-{digest}'"]
    assert "url(" not in style
    assert "@import" not in style
    assert len(text) < 200_000


def altered(value: Any) -> Any:
    """A document with a tag in each of its texts, but not in its names."""
    if isinstance(value, dict):
        return {key: each if key in {"$ref", "operationId", "in"} else altered(each) for key, each in value.items()}
    if isinstance(value, list):
        return [altered(each) for each in value]
    return f"{value}<script>'\"&" if isinstance(value, str) else value


def test_texts_are_escaped() -> None:
    hostile = altered(copy.deepcopy(DOCUMENT))
    read = Read(page(hostile))
    assert "script" not in read.tags
    assert sum("<script>'\"&" in text for text in read.texts) > 100


@pytest.mark.e2e
@pytest.mark.parametrize("accepted", ["identity", "gzip", "deflate"])
def test_the_service_serves_it(client: httpx.Client, small_service: EmbeddedService, accepted: str) -> None:
    response = client.get(f"{small_service.http_url}/docs", headers={"accept-encoding": accepted})
    assert response.status_code == 200
    assert {name: response.headers[name] for name in HEADERS} == dict(HEADERS)
    assert response.headers.get("content-encoding") == (None if accepted == "identity" else accepted)
    assert "/v2/models/{name}/infer" in Read(response.text).texts

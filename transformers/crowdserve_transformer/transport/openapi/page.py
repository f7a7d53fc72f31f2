"""The document as a page to read: made by the service, with no script, font or picture of here or elsewhere."""

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
h2{margin-top:2.5rem;text-transform:capitalize}
summary{cursor:pointer;padding:.3rem 0}
details>div{margin-left:1.5rem}
code,pre{font:14px/1.4 ui-monospace,monospace}
pre{overflow:auto;max-height:30rem;padding:.75rem;border:1px solid #8886}
table{border-collapse:collapse}
td,th{text-align:left;vertical-align:top;padding:.2rem 1rem .2rem 0}
.method{display:inline-block;width:4rem;font-weight:bold}
"""
_POLICY = "default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_REFERENCE = "#/components/"

HEADERS: Mapping[str, str] = {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": _POLICY.format(base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
"""Headers of the page: a browser applies its one style sheet and loads nothing."""


def page(document: Mapping[str, Any]) -> str:
    """The page of an OpenAPI document; every text of the document is escaped."""
    info = document["info"]
    title = f"{escape(info['title'])} {escape(info['version'])}"
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title><style>{_STYLE}</style>",
        f"<h1>{title}</h1>{_text(info['description'])}",
        "<p>The same as a document for machines: <a href=openapi.json>openapi.json</a></p>",
        *_sections(document),
        "<h2>Schemas</h2>",
        *(_schema(name, schema) for name, schema in document["components"]["schemas"].items()),
    ]
    return "\n".join(parts) + "</html>\n"


def _sections(document: Mapping[str, Any]) -> Iterable[str]:
    """The operations under the heading of their tag."""
    tags: dict[str, list[str]] = {}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            found = _operation(method, path, operation, document["components"]["parameters"])
            tags.setdefault(operation["tags"][0], []).append(found)
    for tag, operations in tags.items():
        yield f"<h2>{escape(tag)}</h2>"
        yield from operations


def _operation(method: str, path: str, operation: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    parameters = [known[each["$ref"].rpartition("/")[2]] for each in operation["parameters"]]
    rows = [(f"<code>{escape(each['name'])}</code> ({each['in']})", escape(each["description"])) for each in parameters]
    answers = [
        (f"<b>{status}</b>", _text(answer["description"]) + _contents(answer["content"]))
        for status, answer in operation["responses"].items()
    ]
    body = operation.get("requestBody")
    sent = f"<h4>Body</h4>{_contents(body['content'])}" if body else ""
    head = (
        f"<summary><span class=method>{method.upper()}</span><code>{escape(path)}</code> {escape(operation['summary'])}"
    )
    inner = f"<h4>Parameters</h4>{_table(rows)}{sent}<h4>Answers</h4>{_table(answers)}"
    return f"<details id={operation['operationId']}>{head}</summary><div>{inner}</div></details>"


def _contents(contents: Mapping[str, Any]) -> str:
    """What a body is in each media type, with its example."""
    return "".join(
        f"<p><code>{escape(media_type)}</code> {_kind(content['schema'])}</p>{_json(content.get('example'))}"
        for media_type, content in contents.items()
    )


def _kind(schema: Mapping[str, Any]) -> str:
    """A link to a named schema, or what an unnamed one says of itself."""
    either = schema.get("anyOf", [schema])
    names = [each["$ref"].rpartition("/")[2] for each in either if str(each.get("$ref", "")).startswith(_REFERENCE)]
    if names:
        return " or ".join(f"<a href=#schema-{escape(name)}>{escape(name)}</a>" for name in names)
    return escape(str(schema.get("description", schema.get("type", ""))))


def _schema(name: str, schema: Any) -> str:
    return f"<details id=schema-{escape(name)}><summary><code>{escape(name)}</code></summary>{_json(schema)}</details>"


def _json(value: Any) -> str:
    return f"<pre>{escape(json.dumps(value, indent=1, ensure_ascii=False))}</pre>" if value is not None else ""


def _text(text: str) -> str:
    return "".join(f"<p>{escape(paragraph)}</p>" for paragraph in text.split("\n\n"))


def _table(rows: Iterable[tuple[str, str]]) -> str:
    return f"<table>{''.join(f'<tr><td>{first}</td><td>{second}</td></tr>' for first, second in rows)}</table>"

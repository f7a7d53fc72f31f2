"""CloudEvents around a request and its answer, as KServe's own servers take and give them.

In binary mode an event's attributes are headers, `ce-…`, and the body is what it would be without them. In structured
mode the body is a JSON object of the attributes, and its member `data`, or `data_base64`, is what the body would be.
"""

import base64
import re
from collections.abc import Mapping
from typing import Any

import orjson
from kserve.utils.utils import create_response_cloudevent

from crowdserve.errors import InvalidRequest, UnsupportedMedia, quoted
from crowdserve_transformer.transport.caller_headers import CONTENT_TYPE, media_type_of
from crowdserve_transformer.transport.codec import parse_json
from crowdserve_transformer.transport.json_data import decode_base64, json_type

STRUCTURED = "application/cloudevents+json"
_BATCH = "application/cloudevents-batch+json"
_PREFIX = "ce-"
_REQUIRED = ("specversion", "id", "source", "type")
_DATA = ("data", "data_base64")
_TYPE_OF_DATA = "datacontenttype"
_NAME = re.compile(r"[a-z0-9]+")
_MAX_ATTRIBUTES, _MAX_CHARACTERS = 64, 1024
_JSON = "application/json"
VERSIONS = ("1.0", "0.3")
_Body = bytes | bytearray


class Envelope:
    """What a request came in, and its answer goes out in: an event, or nothing.

    Args:
        headers: HTTP headers with lower-case names.
        model_name: The model that was asked for.

    Raises:
        InvalidRequest: If the event is of a version that is not supported.
        UnsupportedMedia: If the body is a batch of events.
    """

    def __init__(self, headers: Mapping[str, str], model_name: str) -> None:
        media_type = media_type_of(headers)
        if media_type == _BATCH:
            raise UnsupportedMedia(f"{_BATCH} is not supported; send each event in a request of its own")
        named = {name[len(_PREFIX) :]: value for name, value in headers.items() if name.startswith(_PREFIX)}
        self._structured = media_type == STRUCTURED
        self._binary = not self._structured and named.keys() >= set(_REQUIRED)
        if self._binary:
            _check(named)
        self._attributes = _kept(named)
        self._model_name = model_name

    def opened(self, body: _Body, headers: Mapping[str, str]) -> tuple[_Body, Mapping[str, str]]:
        """A request's body without the event around it, and the headers that describe it.

        Raises:
            InvalidRequest: If it is no event.
        """
        if not self._structured:
            return body, headers
        event = parse_json(body)
        del body
        if not isinstance(event, dict):
            raise InvalidRequest(f"a CloudEvent must be a JSON object, not {json_type(event)}")
        _check(event)
        self._attributes = _kept({name: value for name, value in event.items() if name not in (*_DATA, _TYPE_OF_DATA)})
        described = {**headers, CONTENT_TYPE: str(event.get(_TYPE_OF_DATA) or _JSON)}
        return _data_of(event), described

    def closed(self, content: bytes, headers: Mapping[str, str]) -> tuple[bytes, Mapping[str, str]]:
        """An answer's body and headers with an event around them, if the request had one.

        The attributes are those of the KServe SDK, which reads CE_TYPE, CE_SOURCE and CE_MERGE from the environment.
        """
        if not (self._structured or self._binary):
            return content, headers
        added, event = create_response_cloudevent(self._model_name, None, self._attributes, self._binary)
        if self._binary:
            return content, {**headers, **added}
        is_json = headers[CONTENT_TYPE] == _JSON
        member, text = ("data", content) if is_json else ("data_base64", b'"%s"' % base64.b64encode(content))
        return b'%s, "%s": %s}' % (event[:-1], member.encode(), text), {**headers, **added}


def _check(attributes: Mapping[str, Any]) -> None:
    missing = [name for name in _REQUIRED if not isinstance(attributes.get(name), str) or not attributes[name]]
    if missing:
        raise InvalidRequest(f"the CloudEvent lacks {', '.join(missing)}; expected text for {', '.join(_REQUIRED)}")
    version = attributes["specversion"]
    if version not in VERSIONS:
        raise InvalidRequest(f"the CloudEvent has specversion {quoted(version)}; expected one of {', '.join(VERSIONS)}")


def _kept(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes that an answer may repeat: by names that the specification allows, as many and as long as needed."""
    simple = {
        name: value for name, value in attributes.items() if _NAME.fullmatch(name) and isinstance(value, str | int)
    }
    short = {name: value for name, value in simple.items() if len(str(value)) <= _MAX_CHARACTERS}
    return {**dict(list(short.items())[:_MAX_ATTRIBUTES]), "id": "", "time": ""}  # which the SDK takes out, unasked


def _data_of(event: Mapping[str, Any]) -> bytes:
    data, in_base64 = event.get("data"), event.get("data_base64")
    if isinstance(data, str) and str(event.get("datacontentencoding")).lower() == "base64":  # as version 0.3 has it
        in_base64 = data
    if isinstance(in_base64, str):
        return decode_base64(in_base64)
    if isinstance(data, str) and data.lstrip().startswith("{"):  # JSON that its sender wrote as a text
        return data.encode()
    if not isinstance(data, dict):
        raise InvalidRequest(
            f"the event has {'no' if data is None else 'other'} data; expected the object that would be the body "
            "without an event, or data_base64"
        )
    try:
        return orjson.dumps(data)
    except TypeError as err:  # it writes less deep nests than it reads
        raise InvalidRequest(f"the event's data cannot be read: {err}") from None

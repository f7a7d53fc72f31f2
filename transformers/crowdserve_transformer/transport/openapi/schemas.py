"""JSON schemas of the messages, made from the tensors, the parameters and the settings."""

from collections.abc import Mapping
from typing import Any, get_args

import crowdserve
from crowdserve.cards import SceneRoute
from crowdserve.protocol.tensors import IMAGE, IMAGE_SHAPES, OUTPUTS, ZONE_COUNTS, ZONE_NAMES, OutputTensor
from crowdserve.protocol.zones import MAX_CORNERS, MAX_FRACTION, MAX_NAME_CHARACTERS, MAX_PX, MAX_ZONES
from crowdserve_transformer.counting.parameters import OF_THE_PROTOCOL, parameter_help
from crowdserve_transformer.settings import Settings
from crowdserve_transformer.transport.cloud_events import VERSIONS
from crowdserve_transformer.transport.v1 import PICTURE_KEYS

Schema = dict[str, Any]

BASE64: Schema = {"type": "string", "contentEncoding": "base64"}
_SCENES = [*get_args(SceneRoute)]
_VALUES: Mapping[str, Schema] = {
    "scene": {"type": "string", "enum": _SCENES},
    "scene_probability": {"type": "number", "minimum": 0, "maximum": 1},
    "route": {"type": "string", "enum": [*_SCENES, "+".join(_SCENES)]},
    "density_shape": {"type": "integer", "minimum": 1},
    "density_cell_px": {"type": "number", "exclusiveMinimum": 0},
}
"""Elements of outputs that are narrower than their datatype."""


def ref(name: str) -> Schema:
    """A reference to a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def component_schemas(settings: Settings) -> dict[str, Schema]:
    """Every named schema of the document."""
    return {
        "Error": _object({"error": {"type": "string", "minLength": 1}}),
        "Live": _object({"live": {"const": True}, "status": {"const": "alive"}}),
        "Ready": _object({"ready": {"const": True}}, {"name": named(settings)}),
        "NotReady": _object(
            {"ready": {"const": False}, "error": {"type": "string", "minLength": 1}},
            {"name": named(settings)},
        ),
        "Models": _object({"models": {"type": "array", "items": {"const": settings.model_name}, "minItems": 1}}),
        "Server": _object({"name": _TEXT, "version": {"const": crowdserve.__version__}, "extensions": _list(_TEXT)}),
        "Model": _model(settings),
        "ModelConfig": _model_config(settings),
        "Statistics": _object({"model_stats": _list(_statistics(settings), minItems=1)}),
        "Index": _list(_object({**dict.fromkeys(("name", "version", "state"), _TEXT), "reason": {"type": "string"}})),
        "Parameters": _parameters(settings),
        "ImageInput": {"oneOf": [_files(settings), _pixels(settings)]},
        "RequestedOutput": _object(
            {"name": {"type": "string", "enum": [*OUTPUTS]}},
            {"parameters": {"type": "object", "properties": {"binary_data": {"type": "boolean"}}}},
        ),
        "InferRequest": _infer_request(),
        "InferResponse": _infer_response(settings),
        "PredictRequest": _predict_request(settings),
        "PredictResponse": _object({"predictions": _list(_object({}, _predictions()), minItems=1)}),
        **{
            f"{name}Event": _event(ref(name))
            for name in ("InferRequest", "InferResponse", "PredictRequest", "PredictResponse")
        },
    }


_TEXT: Schema = {"type": "string", "minLength": 1}


def _object(required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None) -> Schema:
    """An object of these members and no others."""
    schema: Schema = {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "additionalProperties": False,
    }
    return {**schema, "required": [*required]} if required else schema


def _list(items: Schema, **limits: int) -> Schema:
    return {"type": "array", "items": items, **limits}


def named(settings: Settings) -> Schema:
    """A name of the model; answers have the one that the request has."""
    return {"type": "string", "enum": [*settings.model_names]}


def _model_config(settings: Settings) -> Schema:
    tensor = {**dict.fromkeys(("name", "data_type"), _TEXT), "dims": _list({"type": "integer"})}
    return _object(
        {
            "name": named(settings),
            "platform": _TEXT,
            "backend": {"const": ""},
            "max_batch_size": {"const": settings.max_batch_size},
            "input": _list(_object({**tensor, "format": _TEXT}), minItems=1),
            "output": _list(_object(tensor), minItems=1),
        }
    )


def _statistics(settings: Settings) -> Schema:
    count = {"type": "integer", "minimum": 0}
    duration = _object({"count": count, "ns": count})
    computed = dict.fromkeys(("compute_input", "compute_infer", "compute_output"), duration)
    others = dict.fromkeys(("success", "fail", "queue", "cache_hit", "cache_miss"), duration)
    return _object(
        {
            "name": named(settings),
            "version": _TEXT,
            **dict.fromkeys(("last_inference", "inference_count", "execution_count"), count),
            "inference_stats": _object({**others, **computed}),
            "response_stats": _object({}),
            "batch_stats": _list(_object({"batch_size": count, **computed})),
            "memory_usage": _list({}, maxItems=0),
        }
    )


def _model(settings: Settings) -> Schema:
    tensor = _object({"name": _TEXT, "datatype": _TEXT, "shape": _list({"type": "integer"}, minItems=1)})
    return _object(
        {
            "name": named(settings),
            "versions": _list({"const": crowdserve.__version__}, minItems=1),
            "platform": _TEXT,
            "inputs": _list(tensor, minItems=1),
            "outputs": _list(tensor, minItems=1),
            "parameters": {"type": "object"},
        }
    )


def _parameters(settings: Settings) -> Schema:
    known = {
        name: {"enum": described["choices"], "default": described["default"]}
        for name, described in parameter_help(settings).items()
        if "choices" in described
    }
    known["zones"] = _zones()
    ignored = {name: {"description": "has no effect here"} for name in sorted(OF_THE_PROTOCOL)}
    ignored["binary_data_output"] = {"type": "boolean", "description": "answer with binary tensors"}
    return {**_object({}, {**known, **ignored}), "patternProperties": {"^triton_": {}}}


def _zones() -> Schema:
    """Named polygons, or their JSON text."""
    name = {"type": "string", "minLength": 1, "maxLength": MAX_NAME_CHARACTERS}
    forms = []
    for form, limit in (("polygon", MAX_FRACTION), ("polygon_px", MAX_PX)):
        corner = _list({"type": "number", "minimum": -limit, "maximum": limit}, minItems=2, maxItems=2)
        forms.append(_object({"name": name, form: _list(corner, minItems=3, maxItems=MAX_CORNERS)}))
    return {
        "description": "polygons in which people are counted too; in fractions of the picture's sides, or its pixels",
        "oneOf": [_list({"oneOf": forms}, minItems=1, maxItems=MAX_ZONES), {"type": "string", "minLength": 1}],
    }


def _files(settings: Settings) -> Schema:
    count = {"type": "integer", "minimum": 1, "maximum": settings.max_batch_size}
    files = {"anyOf": [_list(BASE64, minItems=1, maxItems=settings.max_batch_size), BASE64]}
    shape = {"type": "array", "prefixItems": [count, {"const": 1}], "items": False, "minItems": 1}
    return _input("BYTES", shape, {**files, "description": "one whole file for each image"})


def _pixels(settings: Settings) -> Schema:
    last = IMAGE_SHAPES["UINT8"][-1]
    count = {"type": "integer", "minimum": 1, "maximum": settings.max_batch_size}
    side = {"type": "integer", "minimum": 1, "maximum": settings.pixel_limit}
    shape = {"type": "array", "prefixItems": [count, side, side, {"const": last}], "items": False, "minItems": 4}
    value = {"type": "integer", "minimum": 0, "maximum": 255}
    return _input("UINT8", shape, {**_list(value, minItems=1), "description": "RGB values, flat or nested"})


def _input(datatype: str, shape: Schema, data: Schema) -> Schema:
    """An input with its data in JSON, or, with `binary_data_size`, after the JSON."""
    size = {"type": "integer", "minimum": 0, "description": "bytes of this tensor after the JSON part"}
    parameters = {"type": "object", "properties": {"binary_data_size": size}}
    described: dict[str, Schema] = {"name": {"const": IMAGE}, "datatype": {"const": datatype}, "shape": shape}
    in_binary = {**parameters, "required": ["binary_data_size"]}
    return {
        "oneOf": [_object({**described, "data": data}), _object({**described, "parameters": in_binary})],
        "title": f"{IMAGE}, {datatype}",
    }


def _infer_request() -> Schema:
    return _object(
        {"inputs": _list(ref("ImageInput"), minItems=1, maxItems=1)},
        {"id": {"type": "string"}, "parameters": ref("Parameters"), "outputs": _list(ref("RequestedOutput"))},
    )


def _infer_response(settings: Settings) -> Schema:
    return _object(
        {
            "id": _TEXT,
            "model_name": named(settings),
            "model_version": {"const": crowdserve.__version__},
            "outputs": _list({"oneOf": [_output(tensor) for tensor in OUTPUTS.values()]}, minItems=1),
        }
    )


def _output(tensor: OutputTensor) -> Schema:
    least = 0 if tensor.name in (ZONE_NAMES, ZONE_COUNTS) else 1
    described: dict[str, Schema] = {
        "name": {"const": tensor.name},
        "datatype": {"const": tensor.datatype},
        "shape": _list({"type": "integer", "minimum": least}, minItems=len(tensor.shape), maxItems=len(tensor.shape)),
    }
    size = _object({"binary_data_size": {"type": "integer", "minimum": 0}})
    return {
        "description": tensor.meaning,
        "oneOf": [
            _object({**described, "data": _list(_element(tensor), minItems=least)}),
            _object({**described, "parameters": size}),
        ],
    }


def _element(tensor: OutputTensor) -> Schema:
    """One value of an output in JSON; a count and a density are never negative."""
    if tensor.binary:
        return BASE64
    of_datatype = {
        "FP32": {"type": "number", "minimum": 0},
        "BYTES": _TEXT,
        "INT64": {"type": "integer"},
        "BOOL": {"type": "boolean"},
    }
    return _VALUES.get(tensor.name, of_datatype[tensor.datatype])


def _predict_request(settings: Settings) -> Schema:
    b64 = {"type": "object", "required": ["b64"], "properties": {"b64": BASE64}}
    named = [
        {"type": "object", "required": [key], "properties": {key: {"anyOf": [b64, BASE64]}}} for key in PICTURE_KEYS
    ]
    image = {"anyOf": [*named, b64, BASE64], "description": "a photo; other members are passed over"}
    return _object(
        {"instances": _list(image, minItems=1, maxItems=settings.max_batch_size)},
        {"parameters": ref("Parameters"), "signature_name": {"type": "string"}},
    )


def _event(data: Schema) -> Schema:
    """A CloudEvent in structured mode; other attributes are passed over."""
    text = {"type": "string", "minLength": 1}
    attributes = {**dict.fromkeys(("id", "source", "type"), text), "specversion": {"enum": [*VERSIONS]}}
    return {"type": "object", "properties": {**attributes, "data": data}, "required": [*attributes, "data"]}


def _predictions() -> dict[str, Schema]:
    """The members of one prediction; a density map is not padded, so that it needs no shape."""
    members = {tensor.name: _element(tensor) for tensor in OUTPUTS.values() if tensor.name != "density_shape"}
    members["models"] = {"type": "object", "additionalProperties": _TEXT}
    members["density"] = _list(_list({"type": "number", "minimum": 0}, minItems=1), minItems=1)
    members["density_cell_px"] = _list(members["density_cell_px"], minItems=2, maxItems=2)
    members |= {name: _list(members[name], minItems=1) for name in (ZONE_NAMES, ZONE_COUNTS)}
    members["heatmap"] = _object({"b64": BASE64})
    return members

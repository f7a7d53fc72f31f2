"""The service's model as Triton describes one: what its clients read before they send a request."""

from collections.abc import Iterable, Mapping
from typing import Any

from crowdserve.protocol.tensors import FILES_IN_A_COLUMN, IMAGE, OUTPUTS
from crowdserve_transformer.settings import Settings

PLATFORM = "kserve_transformer"

_TYPES: Mapping[str, str] = {"BYTES": "TYPE_STRING"}
"""Datatypes that a configuration calls otherwise than the metadata, but for the prefix."""


def model_config(name: str, settings: Settings) -> dict[str, Any]:
    """The configuration, as Triton's ModelConfig; the first axis of the metadata's shapes is the batch's.

    Args:
        name: The name that the model was asked for by.
        settings: The settings that it runs with.
    """
    outputs = [
        {"name": each.name, "data_type": _type(each.datatype), "dims": _dims(each.shape)} for each in OUTPUTS.values()
    ]
    image = {"name": IMAGE, "data_type": _type("BYTES"), "format": "FORMAT_NONE", "dims": _dims(FILES_IN_A_COLUMN)}
    return {
        "name": name,
        "platform": PLATFORM,
        "backend": "",
        "max_batch_size": settings.max_batch_size,
        "input": [image],
        "output": outputs,
    }


def _type(datatype: str) -> str:
    return _TYPES.get(datatype, f"TYPE_{datatype}")


def _dims(shape: Iterable[int]) -> list[int]:
    return list(shape)[1:]

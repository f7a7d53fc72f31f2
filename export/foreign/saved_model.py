"""Convolutions of a TensorFlow SavedModel, as TF Serving has them: read from its files, and nothing in it is run."""

from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from tensorflow.core.protobuf import saved_model_pb2

from crowdserve.errors import WeightsError
from export.foreign.tensorflow_graph import Graph
from export.foreign.variables import Variables
from export.foreign.walk import Walk
from export.foreign.zip_files import damage_told
from export.graph.chain import Step

GRAPH_FILE = "saved_model.pb"
_SERVE = "serve"
_SIGNATURES = ("serving_default", "serve", "predict")
_MOST_GRAPH_BYTES = 256 << 20


def read_saved_model(folder: Path) -> tuple[list[Step], list[str]]:
    """The steps of a SavedModel's serving signature, the image's first, and the operators before the first of them.

    Args:
        folder: A version's folder, with `saved_model.pb`, or a model's folder with versions: the highest is taken.

    Raises:
        WeightsError: If it is damaged, or no chain of convolutions with biases.
    """
    folder = version_folder(folder)
    with damage_told(folder, "SavedModel"):
        try:
            graph = _read_graph(folder)
            walk = Walk(Variables(Graph(graph.graph_def), folder), _output(graph))
            return list(walk.steps())[::-1], list(walk.before())[::-1]
        except WeightsError as err:
            raise WeightsError(f"{folder}: {err}") from err


def version_folder(folder: Path) -> Path:
    """The folder with the SavedModel: this one, or the highest version in it, as TF Serving chooses."""
    versions = [path for path in folder.iterdir() if path.name.isdigit() and (path / GRAPH_FILE).is_file()]
    if (folder / GRAPH_FILE).is_file() or not versions:
        return folder
    return max(versions, key=lambda path: int(path.name))


def is_saved_model(path: Path) -> bool:
    """Whether a path is a folder with a SavedModel, or with versions of one."""
    return path.is_dir() and (version_folder(path) / GRAPH_FILE).is_file()


def _read_graph(folder: Path) -> Any:
    """The graph that TF Serving runs."""
    model = saved_model_pb2.SavedModel()
    with (folder / GRAPH_FILE).open("rb") as file:
        content = file.read(_MOST_GRAPH_BYTES + 1)
    if len(content) > _MOST_GRAPH_BYTES:
        raise WeightsError(f"{GRAPH_FILE} is over {_MOST_GRAPH_BYTES >> 20} MiB; a network's has a few")
    try:
        model.ParseFromString(content)
    except DecodeError as err:
        raise WeightsError(f"{GRAPH_FILE} is truncated or no SavedModel ({err}); fetch it again") from err
    found = [graph for graph in model.meta_graphs if _SERVE in graph.meta_info_def.tags]
    if not found:
        raise WeightsError(f"{GRAPH_FILE} has no graph with the tag {_SERVE!r}; save it for serving")
    return found[0]


def _output(graph: Any) -> str:
    """Name of an output of the serving signature: a map and its sum lead to the same convolutions."""
    names = [name for name in _SIGNATURES if name in graph.signature_def and graph.signature_def[name].outputs]
    if not names:
        known = ", ".join(sorted(graph.signature_def)) or "none"
        raise WeightsError(
            f"it has no signature {' or '.join(_SIGNATURES)} with an output, but {known}; export it again"
        )
    outputs = graph.signature_def[names[0]].outputs
    return str(outputs[min(outputs)].name)

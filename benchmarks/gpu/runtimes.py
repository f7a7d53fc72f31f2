"""What else can run the served model files here: onnxruntime's providers, trtexec, Triton."""

import subprocess
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from benchmarks.gpu import onnx_runtime, tensorrt_command, triton_server
from benchmarks.gpu.record import NO_TIME
from benchmarks.gpu.served_models import ServedModel, Shape, runtime_row, served_models
from benchmarks.gpu.stopwatch import Clock, Timing

TimeShape = Callable[[Shape], tuple[Timing, float | None]]

ENGINE_SECONDS = 45.0
"""TensorRT builds an engine in about this time; with less left it is not begun."""


class Runtimes:
    """Measures each runtime that is there on one model of each family, and adds a row whatever becomes of it.

    Args:
        repository: A Triton repository.
        sizes: Width and height of the images, in px.
        batches: Images a call.
        clock: The time that is left.
        add: Takes the rows.
    """

    def __init__(
        self,
        repository: Path,
        sizes: Sequence[tuple[int, int]],
        batches: Sequence[int],
        clock: Clock,
        add: Callable[[dict[str, object]], None],
    ) -> None:
        self._repository, self._clock, self._add = repository, clock, add
        self._plan = [(model, model.shapes(sizes, batches)) for model in served_models(repository)]

    def measure(self, device: str, triton_url: str | None) -> None:
        """Measure them all."""
        for provider in onnx_runtime.providers(device):
            for model, shapes in self._plan:
                prepare = partial(_onnxruntime, provider, model, shapes)
                self._run(provider.label, model, shapes, prepare, provider.least_seconds)
        program = tensorrt_command.find_trtexec() if device == "cuda" else None
        if program:
            for model, shapes in self._plan:
                build = partial(partial, self._trtexec, program, model)
                self._run(tensorrt_command.LABEL, model, shapes, build, ENGINE_SECONDS)
        if triton_url:
            self._triton(lambda: triton_url, 0)
        elif self._plan and (server := triton_server.find_server()):
            models = [model for model, _ in self._plan]
            least_seconds = ENGINE_SECONDS if device == "cuda" else 0
            with ExitStack() as stack:

                def start() -> str:
                    left = self._clock.left
                    return stack.enter_context(triton_server.started(server, self._repository, models, left))

                self._triton(_once(start), least_seconds)

    def _triton(self, address: Callable[[], str], least_seconds: float) -> None:
        for model, shapes in self._plan:
            most = model.card.batching.max_batch_size
            taken = [shape for shape in shapes if shape.batch <= most]
            prepare = partial(_triton_timer, address, model)
            self._run(triton_server.LABEL, model, taken, prepare, least_seconds)
            least_seconds = 0  # it runs now

    def _trtexec(self, program: str, model: ServedModel, shape: Shape) -> tuple[Timing, float | None]:
        return tensorrt_command.time_engine(program, model, shape, self._clock.left), None

    def _run(
        self,
        label: str,
        model: ServedModel,
        shapes: Sequence[Shape],
        prepare: Callable[[], TimeShape],
        least_seconds: float,
    ) -> None:
        """Add a row for each shape."""
        timer: TimeShape | None = None
        for shape in shapes:
            result: tuple[Timing, float | None] | str = NO_TIME
            if self._clock.left > (0 if timer else least_seconds):
                try:
                    timer = timer or prepare()
                    result = timer(shape)
                except subprocess.TimeoutExpired:
                    pass
                except Exception as err:  # each runtime has exceptions of its own, and the other rows are worth having
                    result = f"failed: {err}"
            self._add(runtime_row(label, model, shape, result))


def _onnxruntime(provider: onnx_runtime.Provider, model: ServedModel, shapes: Sequence[Shape]) -> TimeShape:
    return partial(onnx_runtime.time_session, onnx_runtime.load(model, provider, shapes), model)


def _triton_timer(address: Callable[[], str], model: ServedModel) -> TimeShape:
    return partial(triton_server.time_triton, address(), model)


def _once(start: Callable[[], str]) -> Callable[[], str]:
    """The same answer at each call, and the same failure."""
    kept: list[str | Exception] = []

    def answer() -> str:
        if not kept:
            try:
                kept.append(start())
            except Exception as err:
                kept.append(err)
        if isinstance(kept[0], Exception):
            raise kept[0]
        return kept[0]

    return answer

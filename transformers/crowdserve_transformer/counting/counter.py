"""Images to head counts: the scene, its route, the networks of that route, their maps, the counts."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from crowdserve.cards import COUNTERS, ENSEMBLES, ROUTES, VGG16, SceneRoute
from crowdserve.errors import CrowdServeError, InvalidRequest, TritonWrong
from crowdserve.images import Density, FittedImage, Rgb
from crowdserve.scene.classifier import SceneClassifier
from crowdserve.triton.client import TritonAnswer
from crowdserve_transformer import metrics
from crowdserve_transformer.backends.backend import Backend
from crowdserve_transformer.backends.pool import TritonPool
from crowdserve_transformer.budget import ANSWER
from crowdserve_transformer.clocks import photo_clock
from crowdserve_transformer.counting import routing
from crowdserve_transformer.counting.density_maps import CountMap
from crowdserve_transformer.counting.heatmap import overlay_png
from crowdserve_transformer.counting.images import ImageReader, batch_of_one, cropped, needs_padding
from crowdserve_transformer.counting.parameters import Choices
from crowdserve_transformer.counting.passed_on import plain_id
from crowdserve_transformer.counting.request import CountRequest
from crowdserve_transformer.counting.routing import RouteCount, Scene
from crowdserve_transformer.counting.zone_counts import ZoneCount, count_zones
from crowdserve_transformer.threads import Threads
from crowdserve_transformer.turns import Turns

_LARGEST_BYTES = 3 * routing.max_side_px(COUNTERS) ** 2
"""Of a fitted photo, which gives way as the next photo of a request does."""

_HEATMAP_FORMS, _DENSITY_FORMS = 4, 8
"""Times their size that heat maps and maps take until they are sent: as they are, as text, and in a JSON body."""

SHA256_CHARACTERS = 12
"""Length of the hash prefix that is reported as the scene classifier's version."""


@dataclass(frozen=True, slots=True)
class ImageCount:
    """Result for one image.

    Attributes:
        people: The head count.
        by_counter: Head count of each family that ran.
        scene: The scene; None if the classifier did not run.
        routes: The routes whose networks counted.
        models: Version of each model that answered.
        density: Map without padding [rows, columns]; None if not requested.
        density_cell_px: Width and height of a cell of it, in px of the upright photo as it was sent.
        heatmap: PNG file; None if not requested.
        zones: The zones of the request with their people.
    """

    people: float
    by_counter: Mapping[str, float]
    scene: Scene | None
    routes: tuple[SceneRoute, ...]
    models: Mapping[str, str]
    density: Density | None = None
    density_cell_px: tuple[float, float] | None = None
    heatmap: bytes | None = None
    zones: tuple[ZoneCount, ...] = ()


class CrowdCounter:
    """Counts people with Tritons and a scene classifier; shared by all requests of one event loop."""

    def __init__(
        self,
        pool: TritonPool,
        classifier: SceneClassifier,
        reader: ImageReader,
        threads: Threads,
        max_concurrent_pictures: int,
    ) -> None:
        self._pool = pool
        self._classifier = classifier
        self._reader = reader
        self._threads = threads
        self._slots = Turns(range(max_concurrent_pictures))

    async def count(self, request: CountRequest, headers: Mapping[str, str]) -> list[ImageCount]:
        """Count every image of a request, several at a time.

        Args:
            request: The images and what to compute.
            headers: HTTP headers passed on to Triton, for tracing.

        Raises:
            CrowdServeError: The error of the first image that fails; the others are cancelled.
        """
        total = len(request.images)
        tasks = [
            asyncio.ensure_future(self._count_numbered(number, total, image, request, headers))
            for number, image in enumerate(request.images, start=1)
        ]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def _count_numbered(
        self, number: int, total: int, image: bytes | Rgb, request: CountRequest, headers: Mapping[str, str]
    ) -> ImageCount:
        try:
            with photo_clock():
                return await self._count_image(number - 1, image, request, headers)
        except InvalidRequest as err:
            if total == 1:
                raise
            raise type(err)(f"image {number} of {total}: {err}") from err

    async def _count_image(
        self, place: int, image: bytes | Rgb, request: CountRequest, headers: Mapping[str, str]
    ) -> ImageCount:
        choices = request.choices
        side_px = routing.max_side_px(choices.counters)
        async with self._reader.read(image, max_side_px=side_px, with_scene=choices.needs_scene, place=place) as pixels:
            slot = await self._slots.take(place + pixels.image.nbytes / _LARGEST_BYTES)
            try:
                counted = await self._count_one(pixels, request, headers)
                _hold_for_answer(counted)
                return counted
            finally:
                self._slots.give_back(slot)

    async def _count_one(self, prepared: FittedImage, request: CountRequest, headers: Mapping[str, str]) -> ImageCount:
        choices = request.choices
        scene, weights, counts = await self._pool.run(
            lambda backend: self._ask(prepared, choices, _Call(backend, request.request_id, headers))
        )
        if choices.needs_map:
            return await self._threads.run(_summed_up, prepared, choices, scene, weights, counts)
        return _summed_up(prepared, choices, scene, weights, counts)

    async def _ask(
        self, prepared: FittedImage, choices: Choices, call: "_Call"
    ) -> tuple[Scene | None, Mapping[SceneRoute, float], Mapping[SceneRoute, RouteCount]]:
        """All calls for one image, to one Triton: another may run other versions while an update goes on."""
        scene = await self._classify(prepared.scene, call) if prepared.scene is not None else None
        weights = routing.route_weights(choices.route, scene)
        counts = await self._count_routes(prepared.image, weights, choices.counters, call)
        if scene is None or not scene.unsure or choices.route != "auto":
            return scene, weights, counts
        people = {route: count.people for route, count in counts.items()}
        settled = self._classifier.decision.settled(scene.probabilities["dense"], people)
        asked = {name: version for count in counts.values() for name, version in count.models.items()}
        scene = replace(scene, name=settled, models={**scene.models, **asked})
        return scene, {settled: 1.0}, {settled: counts[settled]}

    async def _classify(self, image: Rgb, call: "_Call") -> Scene:
        await call.backend.network.require_match()
        with metrics.stage("scene"):
            features = VGG16.outputs[0].name
            answer = await call(VGG16.name, image[np.newaxis], (features,))
            found = await self._threads.run(self._classifier.probabilities, answer.tensors[features])
        if not np.isfinite(found).all():
            raise TritonWrong(f"Triton's {VGG16.name} answered wrongly: its features give no probabilities")
        version = await call.backend.versions.told(VGG16.name, answer.version)
        probabilities = dict(zip(ROUTES, map(float, found[0]), strict=True))
        decision, p_dense = self._classifier.decision, probabilities["dense"]
        models = {VGG16.name: version, "scene_classifier": self._classifier.sha256[:SHA256_CHARACTERS]}
        return Scene(decision.likelier(p_dense), probabilities, decision.is_unsure(p_dense), models)

    async def _count_routes(
        self, image: Rgb, weights: Mapping[SceneRoute, float], counters: tuple[str, ...], call: "_Call"
    ) -> dict[SceneRoute, RouteCount]:
        with metrics.stage("count"):
            try:
                counts = await asyncio.gather(*(self._count_route(image, route, counters, call) for route in weights))
            except CrowdServeError:
                call.backend.versions.forget()
                raise
        return dict(zip(weights, counts, strict=True))

    async def _count_route(self, image: Rgb, route: SceneRoute, counters: tuple[str, ...], call: "_Call") -> RouteCount:
        ensemble = ENSEMBLES[route]
        cards = routing.members(ensemble, counters)
        outputs = {routing.density_name(ensemble, card): card for card in cards}
        batch = (
            await self._threads.run(batch_of_one, image, cards) if needs_padding(image, cards) else image[np.newaxis]
        )
        answer, versions = await asyncio.gather(
            call(ensemble.name, batch, tuple(outputs)),
            call.backend.versions.of(tuple(card.name for card in cards)),
        )
        maps = {card.family: cropped(answer.tensors[name], image, card) for name, card in outputs.items()}
        return RouteCount(maps, versions)


def _hold_for_answer(counted: ImageCount) -> None:
    """Account for what is kept until the other photos are counted and the answer is sent."""
    hold = ANSWER.get()
    heatmap_bytes = len(counted.heatmap or b"")
    density_bytes = counted.density.nbytes if counted.density is not None else 0
    if hold is not None and (heatmap_bytes or density_bytes):
        hold.grow(_HEATMAP_FORMS * heatmap_bytes + _DENSITY_FORMS * density_bytes)


def _summed_up(
    picture: FittedImage,
    choices: Choices,
    scene: Scene | None,
    weights: Mapping[SceneRoute, float],
    counts: Mapping[SceneRoute, RouteCount],
) -> ImageCount:
    people = sum(weights[route] * count.people for route, count in counts.items())
    combined = routing.combined_map(weights, counts) if choices.needs_map else None
    zones = count_zones(combined, picture, choices.zones) if combined is not None else ()
    metrics.IMAGES.labels("+".join(counts)).inc()
    metrics.PEOPLE.observe(people)
    members = {name: version for count in counts.values() for name, version in count.models.items()}
    return ImageCount(
        people=people,
        by_counter=routing.weighted_people(weights, counts),
        scene=scene,
        routes=tuple(counts),
        models={**(scene.models if scene else {}), **members},
        density=combined.density if combined is not None and choices.needs_density else None,
        density_cell_px=_sent_cell(combined, picture) if combined is not None else None,
        heatmap=_drawn(picture.image, combined, people, zones) if combined and choices.needs_heatmap else None,
        zones=zones,
    )


def _sent_cell(combined: CountMap, picture: FittedImage) -> tuple[float, float]:
    """Width and height of a cell, in px of the photo as it was sent."""
    height, width = picture.image.shape[:2]
    sent_width, sent_height = picture.sent_size
    return combined.stride * sent_width / width, combined.stride * sent_height / height


def _drawn(image: Rgb, combined: CountMap, people: float, zones: Sequence[ZoneCount]) -> bytes:
    with metrics.stage("heatmap"):
        outlines = [(zone.corners, f"{zone.name}: {zone.people:,.0f}") for zone in zones]
        return overlay_png(image, combined.density, people=people, cell_px=combined.stride, zones=outlines)


@dataclass(frozen=True, slots=True)
class _Call:
    """Calls models of one Triton on behalf of one request and measures it."""

    backend: Backend
    request_id: str
    headers: Mapping[str, str]

    async def __call__(self, model: str, images: Rgb, outputs: tuple[str, ...]) -> TritonAnswer:
        start, outcome = time.perf_counter(), "error"
        try:
            answer = await self.backend.models.run(
                model, images, outputs, request_id=plain_id(self.request_id), headers=self.headers
            )
            outcome = "ok"
            return answer
        finally:
            metrics.TRITON_SECONDS.labels(model, outcome).observe(time.perf_counter() - start)

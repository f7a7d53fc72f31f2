"""Counting of labelled photos by the service, several at a time."""

from collections.abc import Generator, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

from crowdserve.cards import ROUTES
from crowdserve.client.service import PhotoCount, ServiceClient
from crowdserve.errors import CrowdServeError, SetupError
from crowdserve.evaluation.photos import LabelledPhoto
from crowdserve.evaluation.predictions import DECIMALS, Prediction, count_column


@dataclass(frozen=True, slots=True)
class Choices:
    """Parameters of the request for every photo.

    Attributes:
        route: The `route` parameter; the service's default if None.
        counter: The `counter` parameter; the service's default if None.
        every_route: Whether each route also counts alone, to compare ways of routing.
    """

    route: str | None = None
    counter: str | None = None
    every_route: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """A photo that was not counted, and the reason."""

    key: str
    image: str
    error: str


def count_photos(
    client: ServiceClient, photos: Iterable[LabelledPhoto], choices: Choices, concurrency: int = 1
) -> Generator[Prediction | Failure, None, None]:
    """Count photos in the order in which the service answers; close the iterator to skip the rest.

    Raises:
        SetupError: If every other photo would fail too, for instance because the service is gone.
    """
    pool = ThreadPoolExecutor(concurrency, thread_name_prefix="evaluate")
    try:
        for future in as_completed([pool.submit(count_photo, client, photo, choices) for photo in photos]):
            yield future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def count_photo(client: ServiceClient, photo: LabelledPhoto, choices: Choices) -> Prediction | Failure:
    """Count one photo; an error of this photo alone is a `Failure`.

    Raises:
        SetupError: If every other photo would fail too.
    """
    sample = photo.sample
    try:
        data = sample.image.read_bytes()
        answer = client.count(data, route=choices.route, counter=choices.counter)
        by_route = _count_routes(client, data, answer, choices) if choices.every_route else {}
    except SetupError:
        raise
    except OSError as err:
        return Failure(sample.key, photo.image, err.strerror or str(err))
    except CrowdServeError as err:
        return Failure(sample.key, photo.image, str(err))
    models = {name: version for a in (*by_route.values(), answer) for name, version in a.models.items()}
    return Prediction(
        folder=str(photo.folder),
        dataset=sample.dataset,
        subset=sample.subset,
        key=sample.key,
        image=photo.image,
        true_count=sample.count,
        predicted_count=round(answer.count, DECIMALS),
        counts=_counts(answer, by_route),
        scene=answer.scene,
        scene_probability=round(answer.scene_probability, 6),
        route=answer.route,
        models=models,
        milliseconds=round(answer.seconds * 1000, 1),
    )


def check_models(known: dict[str, str], found: Mapping[str, str]) -> None:
    """Check that no model has changed its version; remember new models.

    Raises:
        SetupError: If one has: counts of two versions must not be averaged.
    """
    changed = [f"{name} {known[name]} → {v}" for name, v in found.items() if known.get(name, v) != v]
    if changed:
        raise SetupError(
            f"the service answers with other models than before: {', '.join(changed)}; counts of both must not be "
            "mixed: continue with the earlier models, or name another --output"
        )
    known.update(found)


def _count_routes(client: ServiceClient, data: bytes, answer: PhotoCount, choices: Choices) -> dict[str, PhotoCount]:
    """Each route's own answer; the route of `answer` is not counted again."""
    return {
        route: answer if answer.route == route else client.count(data, route=route, counter=choices.counter)
        for route in ROUTES
    }


def _counts(answer: PhotoCount, by_route: Mapping[str, PhotoCount]) -> dict[str, float]:
    counts = {count_column(counter): people for counter, people in answer.counts.items()}
    for route, other in by_route.items():
        counts[count_column(None, route)] = other.count
        counts |= {count_column(counter, route): people for counter, people in other.counts.items()}
    return {column: round(people, DECIMALS) for column, people in counts.items()}

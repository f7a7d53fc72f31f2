"""Scene probabilities to the networks that count, and their maps to one answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from crowdserve.cards import ENSEMBLES, ROUTES, EnsembleCard, ModelCard, SceneRoute
from crowdserve.errors import InvalidRequest
from crowdserve_transformer.counting.density_maps import CountMap, combine


@dataclass(frozen=True, slots=True)
class RouteCount:
    """Counts by the networks of one route.

    Attributes:
        maps: Density maps without padding, by family.
        models: Versions that answered, by model.
    """

    maps: Mapping[str, CountMap]
    models: Mapping[str, str]

    @property
    def people(self) -> float:
        """The mean of the networks' head counts."""
        return sum(m.people for m in self.maps.values()) / len(self.maps)


@dataclass(frozen=True, slots=True)
class Scene:
    """The scene of an image.

    Attributes:
        name: The scene that an automatic route follows.
        probabilities: Probabilities of the scenes.
        unsure: Whether the classifier is unsure, so that an automatic route asks the networks of both.
        models: Versions of the models that say so.
    """

    name: SceneRoute
    probabilities: Mapping[SceneRoute, float]
    unsure: bool
    models: Mapping[str, str]


def route_weights(route: str, scene: Scene | None) -> dict[SceneRoute, float]:
    """The weight of each route to ask; the weights sum to 1.

    Args:
        route: auto, dense, sparse or blend.
        scene: The scene; needed for auto and blend.
    """
    for forced in ROUTES:
        if route == forced:
            return {forced: 1.0}
    if scene is None:
        raise ValueError(f"route {route!r} needs the scene")
    return dict(scene.probabilities) if route == "blend" or scene.unsure else {scene.name: 1.0}


def members(ensemble: EnsembleCard, counters: Sequence[str]) -> tuple[ModelCard, ...]:
    """The networks of a route that belong to the requested counters.

    Raises:
        InvalidRequest: If there are none.
    """
    found = tuple(card for card in ensemble.members if card.family in counters)
    if not found:
        offered = ", ".join(card.family for card in ensemble.members)
        raise InvalidRequest(f"route {ensemble.route} has no counter {', '.join(counters)}; it has {offered}")
    return found


def max_side_px(counters: Sequence[str]) -> int:
    """The longest side that every network of some counters accepts."""
    return min(card.geometry.max_side_px for e in ENSEMBLES.values() for card in e.members if card.family in counters)


def density_name(ensemble: EnsembleCard, card: ModelCard) -> str:
    """Name of a member's density map in the ensemble."""
    return ensemble.output_name(card, card.output(card.density_output or ""))


def weighted_people(weights: Mapping[SceneRoute, float], counts: Mapping[SceneRoute, RouteCount]) -> dict[str, float]:
    """Head counts by family; blended routes are weighted among those that have the family."""
    families = dict.fromkeys(family for count in counts.values() for family in count.maps)
    people = {}
    for family in families:
        shares = {route: weights[route] for route, count in counts.items() if family in count.maps}
        total = sum(shares.values()) or 1.0
        people[family] = sum(counts[route].maps[family].people * share / total for route, share in shares.items())
    return people


def combined_map(weights: Mapping[SceneRoute, float], counts: Mapping[SceneRoute, RouteCount]) -> CountMap:
    """One map whose sum is the weighted head count of all routes."""
    maps: list[CountMap] = []
    shares: list[float] = []
    for route, count in counts.items():
        maps += count.maps.values()
        shares += [weights[route] / len(count.maps)] * len(count.maps)
    return combine(maps, shares)

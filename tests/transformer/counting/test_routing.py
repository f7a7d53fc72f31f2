import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdserve.cards import COUNTERS, ENSEMBLES, ROUTES
from crowdserve.errors import InvalidRequest
from crowdserve.scene.decision import Decision
from crowdserve_transformer.counting import routing
from crowdserve_transformer.counting.density_maps import CountMap
from crowdserve_transformer.counting.routing import RouteCount, Scene


def count_of(**people: float) -> RouteCount:
    maps = {family: CountMap(np.array([[number / 2, number / 2]], np.float32), 8) for family, number in people.items()}
    return RouteCount(maps, {})


@pytest.mark.parametrize(
    ("route", "p_dense", "weights"),
    [
        ("auto", 0.9, {"dense": 1.0}),
        ("auto", 0.1, {"sparse": 1.0}),
        ("auto", 0.4, {"dense": 0.4, "sparse": 0.6}),  # unsure: both are asked
        ("blend", 0.25, {"dense": 0.25, "sparse": 0.75}),
        ("dense", 0.0, {"dense": 1.0}),
        ("sparse", 1.0, {"sparse": 1.0}),
    ],
)
def test_route_weights(route: str, p_dense: float, weights: dict[str, float]) -> None:
    decision = Decision(dense_from=0.6, sparse_up_to=0.2)
    probabilities = {"dense": p_dense, "sparse": 1 - p_dense}
    scene = Scene(decision.likelier(p_dense), probabilities, decision.is_unsure(p_dense), {})
    assert routing.route_weights(route, scene) == weights


def test_only_a_forced_route_needs_no_scene() -> None:
    assert routing.route_weights("dense", None) == {"dense": 1.0}
    with pytest.raises(ValueError, match="needs the scene"):
        routing.route_weights("auto", None)


@pytest.mark.parametrize("route", ROUTES)
def test_every_counter_is_a_member_of_every_route(route: str) -> None:
    ensemble = ENSEMBLES[route]
    assert routing.members(ensemble, COUNTERS) == ensemble.members
    for family in COUNTERS:
        (card,) = routing.members(ensemble, (family,))
        assert card.family == family
        assert routing.density_name(ensemble, card) == f"{family}_{card.density_output}"
        assert routing.max_side_px((family,)) <= card.geometry.max_side_px
    with pytest.raises(InvalidRequest, match=f"route {route} has no counter abacus; it has {COUNTERS[0]}"):
        routing.members(ensemble, ("abacus",))


@given(p_dense=st.floats(0, 1), a=st.floats(0, 1000), b=st.floats(0, 1000), c=st.floats(0, 1000), d=st.floats(0, 1000))
def test_blended_counts_agree_with_the_blended_map(p_dense: float, a: float, b: float, c: float, d: float) -> None:
    weights = {"dense": p_dense, "sparse": 1 - p_dense}
    counts = {"dense": count_of(one=a, two=b), "sparse": count_of(one=c, two=d)}
    by_family = routing.weighted_people(weights, counts)
    assert by_family["one"] == pytest.approx(p_dense * a + (1 - p_dense) * c, abs=1e-3)
    people = sum(weights[route] * count.people for route, count in counts.items())
    assert people == pytest.approx(sum(by_family.values()) / 2, abs=1e-3)
    assert routing.combined_map(weights, counts).people == pytest.approx(people, abs=1e-3)


def test_family_missing_from_one_route_counts_fully_on_the_other() -> None:
    counts = {"dense": count_of(one=10.0), "sparse": count_of(one=20.0, two=8.0)}
    by_family = routing.weighted_people({"dense": 0.5, "sparse": 0.5}, counts)
    assert by_family == {"one": pytest.approx(15.0), "two": pytest.approx(8.0)}

"""Shares of the pictures, counted over Tritons of which none runs."""

from collections import Counter
from pathlib import Path

import pytest

from crowdserve.triton.client import TritonClient
from crowdserve_transformer.backends.backend import Backend
from crowdserve_transformer.backends.balance import LEAD, give_picture
from crowdserve_transformer.model import load_classifier
from crowdserve_transformer.settings import Settings


@pytest.fixture
def backends(small_repository: Path) -> list[Backend]:
    classifier = load_classifier(Settings(repository=small_repository))
    return [Backend(TritonClient("127.0.0.1:9"), classifier, 1.0) for _ in range(3)]


def given(backends: list[Backend], pictures: int) -> Counter[int]:
    return Counter(backends.index(give_picture(backends)) for _ in range(pictures))


def test_idle_tritons_take_turns(backends: list[Backend]) -> None:
    assert [backends.index(give_picture(backends)) for _ in range(6)] == [0, 1, 2] * 2


def test_busy_triton_gets_none_while_others_are_idle(backends: list[Backend]) -> None:
    backends[1].in_flight = 2
    assert 1 not in given(backends, 100)


def test_lead_counts_as_one_picture_in_flight_and_no_more(backends: list[Backend]) -> None:
    given(backends[:1], 3 * LEAD)
    backends[1].in_flight = backends[2].in_flight = 1
    assert give_picture(backends) in backends[1:]
    backends[1].in_flight = backends[2].in_flight = 2
    assert give_picture(backends) is backends[0]


def test_new_triton_gets_its_share_and_no_more_than_the_lead(backends: list[Backend]) -> None:
    given(backends[:2], 1000)
    shares = given(backends, 150)
    assert 50 <= shares[2] <= 50 + LEAD

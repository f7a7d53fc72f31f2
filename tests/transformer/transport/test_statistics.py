"""Statistics: that durations add up, by arithmetic; and that they follow the running service."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdserve.local.service import EmbeddedService
from crowdserve_transformer.clocks import Clock
from crowdserve_transformer.transport.statistics import Statistics
from tests.support.photos import gray_photo
from tests.support.requests import TIMEOUT_SECONDS, json_body

PHASES = ("queue", "compute_input", "compute_infer", "compute_output")


def clock(total_ns: int, photos: tuple[Clock, ...] = (), **spent_ns: int) -> Clock:
    made = Clock()
    made.total_ns = total_ns
    made.spent_ns.update(spent_ns)
    made.photos.extend(photos)
    return made


def nanoseconds(statistics: Statistics) -> dict[str, int]:
    described = statistics.described("crowdserve", "1")["inference_stats"]
    return {name: described[name]["ns"] for name in ("success", *PHASES)}


def test_durations_of_one_photo() -> None:
    statistics = Statistics()
    photo = clock(80, decode=10, scene=15, count=25, heatmap=20)
    statistics.add_success(clock(100, (photo,), parse=5, encode=7))
    assert nanoseconds(statistics) == {
        "success": 100,
        "queue": 100 - 5 - 7 - 77,
        "compute_input": 5 + 88 * 10 // 80,
        "compute_infer": 88 * 40 // 80,
        "compute_output": 7 + 88 * 20 // 80,
    }
    (batch,) = statistics.described("crowdserve", "1")["batch_stats"]
    assert batch == {
        "batch_size": 1,
        "compute_input": {"count": 1, "ns": 10},
        "compute_infer": {"count": 1, "ns": 40},
        "compute_output": {"count": 1, "ns": 20},
    }


spent = st.dictionaries(st.sampled_from(["decode", "scene", "count", "heatmap"]), st.integers(0, 10**9))
photo_clocks = st.builds(
    lambda waited, spent_ns: clock(waited + sum(spent_ns.values()), **spent_ns), st.integers(0, 10**9), spent
)


@given(photos=st.lists(photo_clocks, max_size=5), parse=st.integers(0, 10**6), encode=st.integers(0, 10**6))
def test_durations_add_up_however_many_photos_ran_at_once(photos: list[Clock], parse: int, encode: int) -> None:
    statistics = Statistics()
    longest = max((photo.total_ns for photo in photos), default=0)
    statistics.add_success(clock(parse + longest + encode, tuple(photos), parse=parse, encode=encode))
    found = nanoseconds(statistics)
    assert sum(found[name] for name in PHASES) == found["success"] == parse + longest + encode
    assert min(found.values()) >= 0


def test_failures_have_a_count_and_a_time_only() -> None:
    statistics = Statistics()
    statistics.add_failure(0.5)
    described = statistics.described("crowdserve", "1")
    assert described["inference_stats"]["fail"] == {"count": 1, "ns": 500_000_000}
    assert described["inference_stats"]["success"] == {"count": 0, "ns": 0}
    assert (described["inference_count"], described["batch_stats"]) == (0, [])


class TestRunningService:
    pytestmark = pytest.mark.e2e

    @pytest.fixture
    def stats(self, client: httpx.Client, small_service: EmbeddedService) -> Any:
        url = f"{small_service.http_url}/v2/models/crowdserve/stats"
        return lambda: client.get(url).json()["model_stats"][0]

    def grown(self, before: dict[str, Any], after: dict[str, Any], name: str, what: str = "count") -> int:
        return int(after["inference_stats"][name][what] - before["inference_stats"][name][what])

    def test_they_follow_requests_and_photos(self, client: httpx.Client, infer_url: str, stats: Any) -> None:
        before, start = stats(), time.time_ns()
        for photos in (1, 2, 3):
            client.post(infer_url, json=json_body(*[gray_photo()] * photos, parameters={"heatmap": True}))
        took, after = time.time_ns() - start, stats()
        assert after["inference_count"] - before["inference_count"] == 6
        assert after["execution_count"] - before["execution_count"] == 6
        for name in ("success", *PHASES):
            assert self.grown(before, after, name) == 3
        spent_ns = {name: self.grown(before, after, name, "ns") for name in ("success", *PHASES)}
        assert 0 < spent_ns["success"] == sum(spent_ns[name] for name in PHASES) < took
        assert min(spent_ns["compute_input"], spent_ns["compute_infer"], spent_ns["compute_output"]) > 0
        (batch,) = after["batch_stats"]
        assert batch["batch_size"] == 1
        assert batch["compute_infer"]["count"] == after["execution_count"]
        assert start // 10**6 <= after["last_inference"] <= time.time_ns() // 10**6

    def test_refused_requests_are_failures(self, client: httpx.Client, infer_url: str, stats: Any) -> None:
        before = stats()
        for content in (b"{", b"hello", b""):
            assert client.post(infer_url, content=content).status_code == 400
        after = stats()
        assert self.grown(before, after, "fail") == 3
        assert self.grown(before, after, "success") == 0
        assert after["inference_count"] == before["inference_count"]

    def test_nothing_is_lost_of_many_at_once(self, infer_url: str, stats: Any) -> None:
        before = stats()

        def send(_: int) -> int:
            body = json_body(gray_photo(), id="shared")
            return httpx.post(infer_url, json=body, timeout=TIMEOUT_SECONDS, trust_env=False).status_code

        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(send, range(24))) == {200}
        assert self.grown(before, stats(), "success") == 24

    def test_versions_and_all_models(self, client: httpx.Client, small_service: EmbeddedService, stats: Any) -> None:
        """Without a version it is the major one: Triton's tools take versions for whole numbers."""
        version = client.get(f"{small_service.http_url}/v2").json()["version"]
        assert stats()["version"] == version.partition(".")[0]
        for asked in (version, version.partition(".")[0]):
            url = f"{small_service.http_url}/v2/models/crowdserve/versions/{asked}/stats"
            assert client.get(url).json()["model_stats"][0] == {**stats(), "version": asked}
        assert client.get(f"{small_service.http_url}/v2/models/stats").json() == {"model_stats": [stats()]}

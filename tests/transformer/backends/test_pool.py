"""Photos over several Tritons behind one host name: their shares, and Tritons that come, leave, die and hang."""

import asyncio
import signal
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from crowdserve.errors import CrowdServeError, TritonUnavailable
from crowdserve_transformer.counting.counter import ImageCount
from crowdserve_transformer.counting.parameters import read_choices
from crowdserve_transformer.counting.request import CountRequest
from crowdserve_transformer.model import CrowdModel, load_classifier
from crowdserve_transformer.settings import read_settings
from tests.support.photos import expected_count, gray_photo
from tests.support.pods import Addresses, Pods, address
from tests.support.scaled_features import scale_features
from tests.support.versions import told

pytestmark = pytest.mark.e2e

PATIENCE_SECONDS = 60.0
SHARE = (0.25, 0.42)
"""Smallest and largest share of each of three Tritons."""

ESTABLISHED = "01"


@pytest.fixture(scope="module")
def pods(small_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pods]:
    pods = Pods(small_repository, tmp_path_factory.mktemp("pods"))
    yield pods
    pods.kill_all()


@asynccontextmanager
async def transformer(pods: Pods, names: Addresses, **settings: object) -> AsyncIterator["Transformer"]:
    chosen = {"predictor_host": pods.predictor_host, "repository": pods.repository(1), "ready_timeout_seconds": 30}
    read = read_settings([f"--{name}={value}" for name, value in {**chosen, **settings}.items()], {})
    model = CrowdModel(read, load_classifier(read), names)
    try:
        yield Transformer(model)
    finally:
        await model.close()


@dataclass
class Transformer:
    """A model within this process, and what came of the photos that it was sent."""

    model: CrowdModel
    answers: list[int] = field(default_factory=list)
    errors: list[CrowdServeError] = field(default_factory=list)

    async def count(self) -> ImageCount:
        request = CountRequest((gray_photo(),), read_choices({}, [], self.model.settings), "a test")
        (found,) = await self.model.counter.count(request, {})
        return found

    async def answering_pod(self) -> int:
        """The pod that all calls for one photo went to."""
        found = await self.count()
        assert found.people == pytest.approx(expected_count(), rel=1e-5)
        assert found.models["vgg16"] == found.models["csrnet_a"], "a photo's calls went to two Tritons"
        return next(pod for pod in range(100) if told(pod) == found.models["vgg16"])

    @asynccontextmanager
    async def load(self, callers: int = 4) -> AsyncIterator[None]:
        """Send photos all the time."""
        tasks = [asyncio.create_task(self._send_photos()) for _ in range(callers)]
        try:
            yield
        finally:
            self._stopped = True
            await asyncio.gather(*tasks)

    async def _send_photos(self) -> None:
        self._stopped = False
        while not self._stopped:
            try:
                self.answers.append(await self.answering_pod())
            except CrowdServeError as err:
                self.errors.append(err)
                await asyncio.sleep(0.01)

    async def answered(self, photos: int) -> list[int]:
        """The pods that answer the next photos."""
        start = len(self.answers)
        await until(lambda: len(self.answers) >= start + photos)
        return self.answers[start : start + photos]

    async def usable(self, pods: int) -> None:
        """Wait until so many can be used, as the metric says."""
        await until(lambda: sample("crowdserve_triton_backends", state="usable") == pods)


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"the condition did not hold within {PATIENCE_SECONDS:g} s"
        await asyncio.sleep(0.005)


def sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def retries() -> float:
    return sample("crowdserve_triton_retries_total")


def connections(pods: Pods, pod: int) -> int:
    """Open connections of this machine to a pod; Linux writes addresses backwards."""
    remote = f"{socket.inet_aton(address(pod))[::-1].hex().upper()}:{pods.port:04X}"
    rows = [line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()]
    return sum(row[2] == remote and row[3] == ESTABLISHED for row in rows)


def check_shares(answers: list[int], pods: set[int]) -> None:
    shares = {pod: times / len(answers) for pod, times in Counter(answers).items()}
    assert shares.keys() == pods
    assert all(SHARE[0] <= share <= SHARE[1] for share in shares.values()), shares


def run(work: Awaitable[None]) -> None:
    async def limited() -> None:
        await asyncio.wait_for(work, 2 * PATIENCE_SECONDS)

    asyncio.run(limited())


def test_three_tritons_share_the_photos(pods: Pods) -> None:
    pods.start(1, 2, 3)

    async def work() -> None:
        async with transformer(pods, Addresses(1, 2, 3)) as running:
            assert await running.model.healthy()
            await running.usable(3)
            check_shares([await running.answering_pod() for _ in range(30)], {1, 2, 3})
            async with running.load():
                check_shares(await running.answered(150), {1, 2, 3})
            assert running.errors == []

    run(work())


def test_new_tritons_get_their_share_of_a_load_that_goes_on(pods: Pods) -> None:
    pods.start(1, 2, 3)
    names = Addresses(1)

    async def work() -> None:
        async with transformer(pods, names) as running, running.load():
            assert set(await running.answered(50)) == {1}
            names.pods = (1, 2, 3)
            await until(lambda: {1, 2, 3} <= set(running.answers))
            check_shares(await running.answered(150), {1, 2, 3})
            assert running.errors == []

    run(work())


def test_photos_of_a_triton_that_dies_are_counted_by_another(pods: Pods) -> None:
    pods.start(1, 2)
    names = Addresses(1, 2)

    async def work() -> None:
        async with transformer(pods, names) as running, running.load():
            await running.usable(2)
            await running.answered(20)
            before = retries()
            await asyncio.to_thread(pods.kill, 2)
            await until(lambda: retries() > before)
            await running.usable(1)  # its address is still listed
            assert set((await running.answered(50))[-40:]) == {1}
            assert running.errors == []
            pods.start(2)  # not in another thread: with its end the kernel would end the process
            await until(lambda: running.answers[-1] == 2)
            assert running.errors == []

    run(work())


def test_late_answer_is_not_asked_for_again(pods: Pods) -> None:
    pods.start(1, 2)

    async def work() -> None:
        async with transformer(pods, Addresses(1, 2), triton_timeout_seconds=2) as running:
            assert await running.model.healthy()
            await running.usable(2)
            assert {await running.answering_pod() for _ in range(2)} == {1, 2}
            before = retries()
            pods.signal(2, signal.SIGSTOP)
            try:
                found = await asyncio.gather(*(running.answering_pod() for _ in range(2)), return_exceptions=True)
            finally:
                pods.signal(2, signal.SIGCONT)
            assert [str(each) for each in found if each != 1] == ["Triton does not answer; try again later"]
            assert retries() == before

    run(work())


def test_triton_that_hangs_gets_no_photo_until_it_answers_again(pods: Pods) -> None:
    pods.start(1, 2, 3)

    async def work() -> None:
        async with transformer(pods, Addresses(1, 2, 3), triton_timeout_seconds=2) as running:
            assert await running.model.healthy()
            await running.usable(3)
            pods.signal(2, signal.SIGSTOP)
            try:
                async with running.load():
                    await running.usable(2)
                    assert set((await running.answered(60))[-50:]) == {1, 3}
                    errors = len(running.errors)
                    assert 1 <= errors <= 4, "each caller waited in vain at most once"
                    assert await running.model.healthy()
                    pods.signal(2, signal.SIGCONT)
                    await until(lambda: running.answers[-1] == 2)
                    assert len(running.errors) == errors
            finally:
                pods.signal(2, signal.SIGCONT)

    run(work())


def test_triton_with_another_vgg16_gets_no_photo(pods: Pods) -> None:
    scale_features(pods.repository(4), 1.1)
    pods.start(1, 4)
    names = Addresses(1, 4)

    async def work() -> None:
        async with transformer(pods, names) as running:
            assert await running.model.healthy()
            await until(lambda: sample("crowdserve_triton_backends", state="unusable") == 1)
            assert {await running.answering_pod() for _ in range(20)} == {1}
            names.pods = (4,)
            while await running.model.healthy():
                await asyncio.sleep(0.05)
            with pytest.raises(TritonUnavailable, match="not the network that the scene classifier was trained on"):
                await running.count()

    run(work())


def test_known_tritons_serve_while_the_name_server_is_away(pods: Pods, caplog: pytest.LogCaptureFixture) -> None:
    pods.start(1)
    names = Addresses()

    async def work() -> None:
        async with transformer(pods, names) as running:
            assert not await running.model.healthy()
            with pytest.raises(TritonUnavailable, match=r"^Triton does not answer; try again later$"):
                await running.count()
            names.pods = (1,)
            async with running.load(1):
                await running.answered(5)
                running.errors.clear()
                names.pods, names.failures = (), 0
                await until(lambda: names.failures >= 2)
                assert await running.model.healthy()
                await running.answered(5)
            assert running.errors == []

    run(work())
    assert caplog.text.count("no address of triton.test") == 2  # once per change, not per look-up


def test_triton_that_does_not_answer_its_check_delays_nobody(pods: Pods) -> None:
    pods.start(1)

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def work() -> None:
        async with (
            await asyncio.start_server(silent, address(9), pods.port),
            transformer(pods, Addresses(9, 1)) as running,
        ):
            start = time.monotonic()
            assert await running.model.healthy()
            assert {await running.answering_pod() for _ in range(20)} == {1}
            assert time.monotonic() - start < 20, "something waited for the check, which takes 30 s"

    run(work())


def test_triton_that_leaves_in_order_costs_no_photo(pods: Pods) -> None:
    pods.start(1, 2)
    names = Addresses(1, 2)

    async def work() -> None:
        async with transformer(pods, names) as running, running.load():
            await running.usable(2)
            await running.answered(20)
            before = retries()
            assert connections(pods, 2) > 0
            names.pods = (1,)
            await running.usable(1)
            await until(lambda: connections(pods, 2) == 0)
            await asyncio.to_thread(pods.kill, 2)  # at once: nothing may depend on it any more
            assert set(await running.answered(50)) == {1}
            assert running.errors == []
            assert retries() == before

    run(work())


def test_photos_wait_for_the_only_triton_that_is_started_again(pods: Pods) -> None:
    """A container that dies is started again in its pod, and a gateway sends photos there until a probe has failed."""
    pods.start(1)

    async def work() -> None:
        async with transformer(pods, Addresses(1), triton_away_seconds=30) as running, running.load():
            await running.answered(20)
            await asyncio.to_thread(pods.kill, 1)
            await asyncio.to_thread(pods.start, 1)
            await running.answered(20)
            assert running.errors == []

    run(work())
    pods.kill(1)  # it ends with the thread that started it


def test_photos_do_not_wait_for_longer_than_they_may(pods: Pods) -> None:
    pods.start(1)

    async def work() -> None:
        async with transformer(pods, Addresses(1), triton_away_seconds=2.0) as running:
            await running.count()
            await asyncio.to_thread(pods.kill, 1)
            for shortest, longest in ((1.9, 30.0), (0.0, 1.9)):  # the second one does not wait again
                start = time.monotonic()
                with pytest.raises(TritonUnavailable):
                    await running.count()
                assert shortest <= time.monotonic() - start < longest

    run(work())

"""The plan: what must hold of every answer, and the questions that have none."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdserve.capacity.demand import Demand, of_cameras, read_seconds, read_size
from crowdserve.capacity.devices import CPUS, DEVICES, GPUS, find_device
from crowdserve.capacity.figures import CPU_FILE, Figures
from crowdserve.capacity.plan import Plan, Targets, make_plan
from crowdserve.capacity.queueing import Queue
from crowdserve.capacity.report import as_json, as_text
from crowdserve.errors import CapacityError

CSRNET = ("csrnet",)
FITTING = [name for name in DEVICES if name != "t4"]


def planned(demand: Demand, device: str = "l4", cores: int = 4, **targets: float) -> Plan:
    return make_plan(demand, find_device(device, CSRNET, cores), CSRNET, Targets(**targets), price=1.0)


def needs(plan: Plan) -> tuple[float, ...]:
    assert plan.price_per_hour is not None
    return (
        plan.replicas,
        plan.transformer_cores,
        plan.triton_cores,
        plan.host_memory_gb,
        plan.bundle_traffic_gb,
        plan.picture_traffic_gb_per_second,
        plan.price_per_hour,
    )


@given(
    cameras=st.integers(1, 50_000),
    more=st.integers(0, 20_000),
    every=st.floats(0.1, 600),
    device=st.sampled_from(FITTING),
    wait=st.sampled_from([0.01, 0.2, 5.0]),
)
def test_more_cameras_never_need_less(cameras: int, more: int, every: float, device: str, wait: float) -> None:
    few, many = (
        planned(of_cameras(count, every, (1920, 1080)), device, wait_seconds=wait)
        for count in (cameras, cameras + more)
    )
    assert all(less <= greater + 1e-9 for less, greater in zip(needs(few), needs(many), strict=True))


@given(
    rate=st.floats(0.01, 5_000),
    side=st.integers(64, 4_000),
    larger=st.integers(0, 2_000),
    device=st.sampled_from(FITTING),
)
def test_larger_photos_never_need_less(rate: float, side: int, larger: int, device: str) -> None:
    small, large = (planned(Demand(rate, each, each), device) for each in (side, side + larger))
    assert small.replicas <= large.replicas
    assert small.transformer_cores <= large.transformer_cores + 1e-9


@given(rate=st.floats(0.01, 5_000), device=st.sampled_from(FITTING), busy=st.floats(0.1, 0.9))
def test_a_plan_keeps_to_its_targets_and_is_the_smallest(rate: float, device: str, busy: float) -> None:
    plan = planned(Demand(rate, 1024, 768), device, busy_share=busy, wait_seconds=0.5)
    assert plan.resources[0].busy_share <= busy + 1e-6
    assert plan.wait_p95_seconds <= 0.5
    shares = [resource.busy_share for resource in plan.resources]
    assert shares == sorted(shares, reverse=True)
    if plan.replicas > 1:
        fewer = plan.resources[0].busy_share * plan.replicas / (plan.replicas - 1)
        assert fewer > busy - 1e-6 or _wait(plan, plan.replicas - 1) > 0.5


def _wait(plan: Plan, replicas: int) -> float:
    return Queue(plan.demand.photos_per_second, plan.seconds_a_photo, replicas).wait_seconds(0.95)


def test_what_nobody_measured_is_called_an_estimate() -> None:
    demand = of_cameras(500, 5, (1920, 1080))
    on_l4, on_h100 = (planned(demand, device).resources for device in ("l4", "h100"))
    assert next(each for each in on_l4 if each.name.startswith("GPU")).is_estimate
    assert "estimate" in as_text(planned(demand))
    assert "the H100's time" in as_text(planned(demand))
    measured = find_device("h100", CSRNET, 0).networks["csrnet"].figures
    assert {figure.origin for figure in measured} == {"measured"}
    assert not any(each.name.startswith("transformer's event loop") and each.is_estimate for each in on_h100)
    same = int(Figures(CPU_FILE)["cores"].value)
    assert {find_device("cpu", CSRNET, cores).vgg16.origin for cores in (same, same + 2)} == {"measured", "estimate"}


def test_the_measured_gpu_takes_what_was_measured() -> None:
    line = find_device("h100", CSRNET, 0).networks["csrnet"]
    assert line.seconds(1024 * 768 / 1e6) == pytest.approx(2.42e-3, rel=0.1)
    assert line.seconds(1920 * 1080 / 1e6) == pytest.approx(6.09e-3, rel=0.1)


def test_slower_gpus_need_more_of_them() -> None:
    demand = of_cameras(20_000, 5, (1920, 1080))
    seconds = {name: planned(demand, name).seconds_a_photo for name in GPUS if name != "t4"}
    assert sorted(seconds, key=seconds.__getitem__) == ["h200", "h100", "l40s", "a100", "a10", "l4"]
    assert planned(demand, "cpu").replicas < planned(demand, "cpu-fp32").replicas


def test_the_report_is_whole_json_with_units() -> None:
    report = json.loads(json.dumps(as_json(planned(of_cameras(500, 5, (1920, 1080))))))
    assert report["photos_per_second"] == 100
    assert report["price_per_month"] == pytest.approx(730 * report["price_per_hour"])
    assert report["price_per_million_photos"] == pytest.approx(report["price_per_hour"] / 0.36)
    assert all(row["sources"] for row in report["resources"])


@pytest.mark.parametrize(
    ("device", "own"),
    [
        ("l4", {"triton_host_memory_gb", "bundle_gb"}),
        ("cpu", {"peak_memory_gb", "embedded_bundle_gb"}),
        ("cpu-fp32", {"peak_memory_fp32_gb", "embedded_bundle_gb"}),
    ],
)
def test_every_figure_of_the_answer_is_listed_with_its_origin(device: str, own: set[str]) -> None:
    plan = planned(of_cameras(20_000, 5, (1920, 1080)), device)
    named = {figure.name for figure in plan.figures}
    assert named >= {"triton_ms", "decoding_ms", "transformer_memory_gb", "concurrent_pictures"} | own
    text = as_text(plan)
    assert all(f"  {name} " in text for name in named)
    assert "e+" not in text
    assert {each["name"] for each in as_json(plan)["figures"]} == named


def test_the_smallest_photo_is_padded_as_the_networks_take_it() -> None:
    assert Demand(1, 1, 1).counted_megapixels == 64 * 64 / 1e6
    assert Demand(1, 4096, 100).counted_megapixels == 2048 * 64 / 1e6


@pytest.mark.parametrize("name", CPUS)
def test_cores_of_a_replica_share_the_work(name: str) -> None:
    two, eight = (find_device(name, CSRNET, cores).seconds(CSRNET, 1.0) for cores in (2, 8))
    assert two == pytest.approx(4 * eight)


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (lambda: find_device("b300", CSRNET, 4), "'b300' is not known; there are h100"),
        (lambda: planned(Demand(1, 640, 360), "t4"), "has 16 GB, and the networks need about 18 GB"),
        (lambda: find_device("h100", ("other",), 0), "no figures of other on a GPU"),
        (lambda: read_size("1920"), "like 1920x1080"),
        (lambda: read_size("0x10"), "like 1920x1080"),
        (lambda: read_size("20000x20000"), "more pixels than the 220,000,000 that the service takes"),
        (lambda: planned(of_cameras(10**13, 5, (1920, 1080))), "2e[+]12 photos/s need over 1,000,000 replicas"),
        (lambda: planned(of_cameras(1, 1e-320, (1920, 1080))), "inf photos/s need over 1,000,000 replicas"),
        (lambda: read_seconds("9" * 400, "--every"), "is no time over 0"),
        (lambda: read_seconds("0s", "--every"), "--every '0s' is no time over 0"),
        (lambda: read_seconds("soon", "--wait"), "--wait 'soon'"),
        (lambda: Figures(Path("nowhere.json")), "no file of figures"),
    ],
)
def test_a_question_without_an_answer_is_refused(question: Callable[[], object], message: str) -> None:
    with pytest.raises(CapacityError, match=message):
        question()


@pytest.mark.parametrize(("text", "seconds"), [("5s", 5), ("5", 5), ("500ms", 0.5), ("2min", 120), ("1h", 3600)])
def test_times_are_read(text: str, seconds: float) -> None:
    assert read_seconds(text, "--every") == seconds

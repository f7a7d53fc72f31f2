"""The plan: how many replicas a load needs, what they take, and what is full first."""

import math
from dataclasses import dataclass

from crowdserve.capacity.demand import Demand
from crowdserve.capacity.devices import Device
from crowdserve.capacity.figures import CPU_FILE, DEVICES_FILE, Figure, Figures
from crowdserve.capacity.queueing import Queue
from crowdserve.errors import CapacityError

HOURS_A_MONTH = 730
MOST_REPLICAS = 1_000_000

_PERCENTILE = 0.95


@dataclass(frozen=True, slots=True)
class Targets:
    """What the service is to keep to.

    Attributes:
        busy_share: Most of its time that a replica, a core or a network is busy.
        wait_seconds: Time that 95 % of the photos wait at most before their networks run.
    """

    busy_share: float = 0.7
    wait_seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class Resource:
    """Something of which every replica has as much.

    Attributes:
        name: For people.
        photos_per_second: That one replica's share of it can take, if nothing else were in the way.
        busy_share: Of the planned replicas'.
        figures: What that follows from.
    """

    name: str
    photos_per_second: float
    busy_share: float
    figures: tuple[Figure, ...]

    @property
    def is_estimate(self) -> bool:
        """Whether any of its figures is one."""
        return any(figure.origin == "estimate" for figure in self.figures)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a load needs; every number is for all replicas together unless it says otherwise.

    Attributes:
        demand: The load.
        device: What a replica computes with.
        replicas: Pods with a Triton and a transformer each.
        seconds_a_photo: Time of the networks for one photo.
        wait_p95_seconds: Time that 95 % of the photos wait at most for a free replica.
        resources: The fullest first.
        transformer_cores: For decoding and for the transformers, so that they are as busy as the target says.
        triton_cores: For the networks where there is no GPU, else to move pictures.
        host_memory_gb: Of the pods' limits.
        gpu_memory_gb: Needed on each GPU; None without one.
        picture_traffic_gb_per_second: Photos that come in.
        bundle_traffic_gb: Downloaded when all replicas start at once.
        price_per_hour: Of all devices; None if none was given.
        figures: All that it is made of.
    """

    demand: Demand
    device: Device
    replicas: int
    seconds_a_photo: float
    wait_p95_seconds: float
    resources: tuple[Resource, ...]
    transformer_cores: float
    triton_cores: float
    host_memory_gb: float
    gpu_memory_gb: float | None
    picture_traffic_gb_per_second: float
    bundle_traffic_gb: float
    price_per_hour: float | None
    figures: tuple[Figure, ...]

    @property
    def is_estimate(self) -> bool:
        """Whether any figure behind it is one."""
        return any(figure.origin == "estimate" for figure in self.figures)


def make_plan(
    demand: Demand,
    device: Device,
    families: tuple[str, ...],
    targets: Targets | None = None,
    price: float | None = None,
) -> Plan:
    """The fewest replicas that keep to the targets, and what they take.

    Args:
        demand: The load.
        device: What a replica computes with.
        families: Networks that count.
        targets: What to keep to.
        price: Of one GPU for an hour, or of one core where there is no GPU, in any currency.

    Raises:
        CapacityError: If a photo does not fit the device's memory, or no number of replicas would do.
    """
    _check_memory(device)
    targets = targets or Targets()
    limits = _limits(demand, device, families)
    narrowest = min(limit.photos_per_second for limit in limits)
    service_seconds = device.seconds(families, demand.counted_megapixels)
    least = demand.photos_per_second / (narrowest * targets.busy_share)
    if least > MOST_REPLICAS:
        raise CapacityError(
            f"{demand.photos_per_second:,.3g} photos/s need over {MOST_REPLICAS:,} replicas; ask for less"
        )
    replicas = max(1, math.ceil(least - 1e-9))
    replicas = _enough(demand, service_seconds, replicas, targets.wait_seconds)
    full = tuple(
        Resource(each.name, each.photos_per_second, _share(demand, each, replicas), each.figures) for each in limits
    )
    costs, facts = Figures(CPU_FILE), Figures(DEVICES_FILE)
    loop, decoding, moving = (costs.line(part) for part in ("transformer", "decoding", "triton"))
    transformer = sum(part.seconds(demand.sent_megapixels) for part in (loop, decoding))
    triton = moving.seconds(demand.counted_megapixels)
    host_memory = facts["transformer_memory_gb"], device.memory_needed_gb
    if device.is_gpu:
        host_memory = facts["transformer_memory_gb"], facts["triton_host_memory_gb"]
    others = (*decoding.figures, *moving.figures, *host_memory, device.memory_needed_gb, facts["bundle_gb"])
    return Plan(
        demand=demand,
        device=device,
        replicas=replicas,
        seconds_a_photo=service_seconds,
        wait_p95_seconds=_queue(demand, service_seconds, replicas).wait_seconds(_PERCENTILE),
        resources=tuple(sorted(full, key=lambda resource: -resource.busy_share)),
        transformer_cores=demand.photos_per_second * transformer / targets.busy_share,
        triton_cores=demand.photos_per_second * triton / targets.busy_share + replicas * device.cores,
        host_memory_gb=replicas * sum(figure.value for figure in host_memory),
        gpu_memory_gb=device.memory_needed_gb.value if device.is_gpu else None,
        picture_traffic_gb_per_second=demand.photos_per_second * _photo_bytes(demand, facts) / 1e9,
        bundle_traffic_gb=replicas * facts["bundle_gb"].value,
        price_per_hour=None if price is None else price * replicas * max(1, device.cores),
        figures=tuple(dict.fromkeys((*(figure for limit in limits for figure in limit.figures), *others))),
    )


def _check_memory(device: Device) -> None:
    if device.memory_gb is not None and device.memory_gb.value < device.memory_needed_gb.value:
        raise CapacityError(
            f"a {device.name.upper()} has {device.memory_gb.value:g} GB, and the networks need about "
            f"{device.memory_needed_gb.value:g} GB (an estimate) with room for four photos of 2048x2048 px; choose a "
            "larger one, or lower max_side_px and max_batch_size on the cards and build smaller engines"
        )


def _limits(demand: Demand, device: Device, families: tuple[str, ...]) -> list[Resource]:
    """What one replica can take of each of its resources."""
    costs, facts = Figures(CPU_FILE), Figures(DEVICES_FILE)
    networks = device.seconds(families, demand.counted_megapixels)
    of_networks = (device.vgg16, *(figure for family in families for figure in device.networks[family].figures))
    loop, waiting = costs.line("transformer"), costs.line("latency")
    in_progress = networks + waiting.seconds(demand.sent_megapixels)
    places = costs["concurrent_pictures"]
    network_name = (
        f"GPU ({device.name.upper()})" if device.is_gpu else f"cores of the networks ({device.cores} a replica)"
    )
    return [
        Resource(network_name, 1 / networks, 0.0, of_networks),
        Resource("transformer's event loop (one core)", 1 / loop.seconds(demand.sent_megapixels), 0.0, loop.figures),
        Resource(
            f"transformer's places ({places.value:g} photos in progress)",
            places.value / in_progress,
            0.0,
            (places, *waiting.figures, *of_networks),
        ),
        Resource(
            "network of a node",
            facts["interface_gb_per_second"].value * 1e9 / _photo_bytes(demand, facts),
            0.0,
            (facts["interface_gb_per_second"], facts["jpeg_bytes_per_pixel"]),
        ),
    ]


def _photo_bytes(demand: Demand, facts: Figures) -> float:
    return facts["jpeg_bytes_per_pixel"].value * demand.sent_megapixels * 1e6


def _share(demand: Demand, limit: Resource, replicas: int) -> float:
    return demand.photos_per_second / (limit.photos_per_second * replicas)


def _queue(demand: Demand, service_seconds: float, replicas: int) -> Queue:
    return Queue(demand.photos_per_second, service_seconds, replicas, demand.sources)


def _enough(demand: Demand, service_seconds: float, least: int, wait_seconds: float) -> int:
    """The fewest replicas, from `least` up, before which photos do not wait longer; found by halving."""

    def is_enough(replicas: int) -> bool:
        return _queue(demand, service_seconds, replicas).wait_seconds(_PERCENTILE) <= wait_seconds

    low, high = least, least
    while not is_enough(high):
        low, high = high + 1, 2 * high
        if high > MOST_REPLICAS:
            raise CapacityError(
                f"not even {MOST_REPLICAS:,} replicas keep the wait under {wait_seconds:g} s; ask for a longer --wait"
            )
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle + 1, high)
    return low

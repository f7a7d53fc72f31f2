"""The ladder of the page about plans: what one camera needs, and what 100,000 do."""

from crowdserve.capacity.demand import of_cameras
from crowdserve.capacity.devices import find_device
from crowdserve.capacity.plan import make_plan
from crowdserve.cards import COUNTERS
from crowdserve.pages.markdown import markdown_table

_RUNGS = ((1, "cpu"), (20, "l4"), (500, "l4"), (5_000, "l4"), (20_000, "l4"), (100_000, "l4"), (100_000, "h100"))
_EVERY_SECONDS, _SIZE_PX, _CORES = 5.0, (1920, 1080), 2

_COLUMNS = (
    "cameras",
    "photos/s",
    "replicas",
    "transformer cores",
    "95 % wait at most",
    "photos",
    "bundle",
    "full first",
)


def ladder_table() -> str:
    """A row for each number of cameras."""
    return markdown_table(_COLUMNS, [_row(cameras, device) for cameras, device in _RUNGS])


def _row(cameras: int, name: str) -> tuple[str, ...]:
    families = COUNTERS[:1]
    device = find_device(name, families, _CORES)
    plan = make_plan(of_cameras(cameras, _EVERY_SECONDS, _SIZE_PX), device, families)
    unit = f"{name.upper()}" if device.is_gpu else f"{device.cores} cores"
    return (
        f"{cameras:,}",
        _short(plan.demand.photos_per_second),
        f"{plan.replicas:,} × {unit}",
        f"{plan.transformer_cores:,.1f}",
        f"{plan.wait_p95_seconds * 1e3:,.0f} ms",
        f"{_short(plan.picture_traffic_gb_per_second * 8)} Gbit/s",
        f"{plan.bundle_traffic_gb:,.1f} GB",
        f"{plan.resources[0].name}, {plan.resources[0].busy_share:.0%}",
    )


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"

"""The plan as text and as JSON; both say which figures were measured."""

import dataclasses
from collections.abc import Iterator
from typing import Any

from crowdserve.capacity.figures import Figure
from crowdserve.capacity.plan import HOURS_A_MONTH, Plan, Resource


def as_text(plan: Plan) -> str:
    """The plan for people, one line a fact."""
    return "\n".join(_lines(plan))


def as_json(plan: Plan) -> dict[str, Any]:
    """The plan for programs; units are in the names."""
    demand, hourly = plan.demand, plan.price_per_hour
    return {
        "photos_per_second": demand.photos_per_second,
        "size_px": [demand.width_px, demand.height_px],
        "device": plan.device.name,
        "replicas": plan.replicas,
        "gpus": plan.replicas if plan.device.is_gpu else 0,
        "network_seconds_a_photo": plan.seconds_a_photo,
        "wait_p95_seconds": plan.wait_p95_seconds,
        "transformer_cores": plan.transformer_cores,
        "triton_cores": plan.triton_cores,
        "host_memory_gb": plan.host_memory_gb,
        "gpu_memory_gb": plan.gpu_memory_gb,
        "picture_traffic_gb_per_second": plan.picture_traffic_gb_per_second,
        "bundle_traffic_gb": plan.bundle_traffic_gb,
        "price_per_hour": hourly,
        "price_per_month": None if hourly is None else hourly * HOURS_A_MONTH,
        "price_per_million_photos": _per_million(plan),
        "origin": "estimate" if plan.is_estimate else "measured",
        "resources": [_resource(each) for each in plan.resources],
        "figures": [dataclasses.asdict(figure) for figure in plan.figures],
    }


def _resource(resource: Resource) -> dict[str, Any]:
    return {
        "name": resource.name,
        "photos_per_second_a_replica": resource.photos_per_second,
        "busy_share": resource.busy_share,
        "origin": _origin(resource),
        "sources": list(dict.fromkeys(f"{figure.origin}: {figure.source}" for figure in resource.figures)),
    }


def _lines(plan: Plan) -> Iterator[str]:
    demand, device = plan.demand, plan.device
    yield f"load      {_number(demand.photos_per_second)} photos/s of {demand.width_px}x{demand.height_px} px"
    what = f"1 {device.name.upper()}" if device.is_gpu else f"{device.cores} cores"
    yield f"replicas  {plan.replicas:,}, each with {what} and a transformer"
    yield f"cores     {plan.transformer_cores:,.1f} for the transformers, {plan.triton_cores:,.1f} for Triton"
    on_gpu = f"; {plan.gpu_memory_gb:g} GB of each GPU's" if plan.gpu_memory_gb is not None else ""
    yield f"memory    {plan.host_memory_gb:,.1f} GB{on_gpu}"
    wait = _seconds(plan.wait_p95_seconds)
    yield f"photo     {_seconds(plan.seconds_a_photo)} in the networks; 95 % wait at most {wait}"
    yield (
        f"traffic   {_number(plan.picture_traffic_gb_per_second * 8)} Gbit/s of photos; {plan.bundle_traffic_gb:,.1f} "
        "GB of models if all replicas start at once"
    )
    if plan.price_per_hour is not None:
        yield (
            f"cost      {plan.price_per_hour:,.2f} an hour, {plan.price_per_hour * HOURS_A_MONTH:,.0f} a month, "
            f"{_per_million(plan) or 0:,.2f} for a million photos"
        )
    yield "first to be full:"
    for resource in plan.resources:
        yield (
            f"  {resource.busy_share:4.0%}  {resource.name}, {_number(resource.photos_per_second)} photos/s per "
            f"replica ({_origin(resource)})"
        )
    yield "figures:"
    for figure in plan.figures:
        yield f"  {_figure(figure)}"


def _figure(figure: Figure) -> str:
    return f"{figure.name} {_number(figure.value)} {figure.unit}, {figure.origin}: {figure.source}"


def _origin(resource: Resource) -> str:
    return "estimate" if resource.is_estimate else "measured"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"


def _per_million(plan: Plan) -> float | None:
    if plan.price_per_hour is None:
        return None
    return plan.price_per_hour / (plan.demand.photos_per_second * 3600) * 1e6

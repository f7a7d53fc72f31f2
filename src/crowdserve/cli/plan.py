"""`crowdserve plan`: how many replicas, cores and GPUs a load needs."""

import json
from typing import Annotated

import typer

from crowdserve.cards import COUNTERS
from crowdserve.cli.options import CounterOption
from crowdserve.terminal import say


def plan(
    cameras: Annotated[int | None, typer.Option(min=1, help="Cameras that send photos by the clock.")] = None,
    every: Annotated[str, typer.Option(help="Time between two photos of a camera, such as 5s or 500ms.")] = "5s",
    photos_per_second: Annotated[
        float | None, typer.Option(help="Photos per second that come by chance, in place of cameras.")
    ] = None,
    size: Annotated[str, typer.Option(help="Width and height of a photo as it is sent, px.")] = "1920x1080",
    device: Annotated[
        str,
        typer.Option(
            help="What computes the networks: h100, h200, a100, l40s, a10, l4, t4; cpu with bfloat16, cpu-fp32."
        ),
    ] = "l4",
    cores: Annotated[int, typer.Option(min=1, help="Cores of one replica, where there is no GPU.")] = 4,
    counter: CounterOption = None,
    busy: Annotated[float, typer.Option(min=0.05, max=0.95, help="Most that anything is busy, as a share.")] = 0.7,
    wait: Annotated[str, typer.Option(help="Time that 95 % of the photos wait at most for a free replica.")] = "1s",
    price: Annotated[
        float | None, typer.Option(min=0, help="Price of one GPU for an hour, or of one core; any currency.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what a load needs: replicas, GPUs or cores, memory, traffic, cost, and what is full first.

    Every figure behind the answer is measured or an estimate, and is listed as such. A GPU that nobody has measured is
    scaled by its data sheet.
    """
    from crowdserve.capacity import report
    from crowdserve.capacity.demand import Demand, of_cameras, read_seconds, read_size
    from crowdserve.capacity.devices import find_device
    from crowdserve.capacity.plan import Targets, make_plan
    from crowdserve.errors import CapacityError

    sides = read_size(size)
    if (cameras is None) == (photos_per_second is None):
        raise CapacityError("give --cameras with --every, or --photos-per-second; one of the two")
    if photos_per_second is not None and not 0 < photos_per_second < float("inf"):
        raise CapacityError(f"--photos-per-second {photos_per_second} is no rate over 0")
    if cameras is not None:
        demand = of_cameras(cameras, read_seconds(every, "--every"), sides)
    else:
        demand = Demand(photos_per_second or 0.0, *sides)
    chosen = counter.value if counter else COUNTERS[0]
    families = COUNTERS if chosen == "average" else (chosen,)
    found = find_device(device, families, cores)
    planned = make_plan(demand, found, families, Targets(busy, read_seconds(wait, "--wait")), price)
    say(json.dumps(report.as_json(planned), indent=2) if as_json else report.as_text(planned))

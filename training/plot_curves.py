"""Plot the validation error against hours of training, over chains of runs that started from one another.

    python -m training.plot_curves --output hours.png "CSRNet A=checkpoints/csrnet_a,checkpoints/csrnet_a2" …

Each argument is a title and the checkpoint folders of its runs in order. Hours are processor time of all cores, since
wall time depends on the machine's other work.
"""

import argparse
from pathlib import Path

from crowdserve.errors import SetupError
from training.engine.run import RunFolder

Points = list[tuple[float, float]]
"""(processor hours, validation MAE in people) of each validation."""


def read_points(folders: list[Path]) -> Points:
    """Validations of a chain of runs; the clock of each run continues where the one before it stopped.

    Raises:
        SetupError: If a folder holds no finished validation.
    """
    points: Points = []
    earlier_seconds = 0.0
    for folder in folders:
        records = RunFolder(folder).records() if folder.is_dir() else []
        if not records:
            raise SetupError(f"{folder} has no log.jsonl with a validation; give checkpoint folders of training runs")
        points += [((earlier_seconds + record["cpu_seconds"]) / 3600, record["mae"]) for record in records]
        earlier_seconds += records[-1]["cpu_seconds"]
    return points


def draw(curves: dict[str, Points], path: Path) -> None:
    """Draw one panel per network, since their errors differ tenfold."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2 * len(curves), 3.4), layout="constrained")
    for axes, (title, points) in zip(figure.subplots(1, len(curves), squeeze=False)[0], curves.items(), strict=True):
        hours, errors = zip(*points, strict=True)
        axes.plot(hours, errors, marker="o", markersize=3, color="#c44e52")
        axes.set(title=title, xlabel="processor hours", ylim=(0, 1.06 * max(errors)), xlim=(0, None))
        axes.axhline(min(errors), color="#999999", linewidth=0.8, linestyle="--")
    figure.supylabel("validation MAE, people")
    figure.savefig(path, dpi=100)


def main(arguments: list[str] | None = None) -> None:
    """Command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("curves", nargs="+", metavar="TITLE=RUN,RUN…")
    parser.add_argument("--output", type=Path, required=True, help="PNG file")
    args = parser.parse_args(arguments)
    named = [curve.partition("=") for curve in args.curves]
    try:
        draw({title: read_points([Path(f) for f in folders.split(",")]) for title, _, folders in named}, args.output)
    except SetupError as err:
        parser.exit(1, f"{err}\n")


if __name__ == "__main__":
    main()

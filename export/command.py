"""The command line that exports of counting networks share, with the evaluation on labelled photos."""

import argparse
import hashlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from crowdserve.cards import CARDS, NORMALISATIONS, ModelCard, cards_of, find_card
from crowdserve.cards.records import META_FILE, newest_version
from crowdserve.errors import CardError, CrowdServeError, SetupError
from crowdserve.images import decode_image, fit_within, pad_bottom_right
from crowdserve.nets.served_weights import MODEL_FILE
from export.publish import REPOSITORY
from export.verify.images import PHOTO
from export.verify.parity import Images

PARITY_PHOTOS = 50
"""Number of photos on which head counts of both models are compared; the evaluation takes all."""


def counter_parser(family: str, description: str, checkpoint: str) -> argparse.ArgumentParser:
    """Flags of an export.

    Args:
        family: Family of the cards that may be exported to.
        description: Text that --help prints.
        checkpoint: Help text of the checkpoint argument.
    """
    parser = argparse.ArgumentParser(prog=f"python -m export.{family}", description=description)
    parser.add_argument("checkpoint", type=Path, help=checkpoint)
    names = [card.name for card in cards_of(family)]
    parser.add_argument("--card", choices=names, required=True, help="card that it is served as")
    parser.add_argument("--normalisation", choices=NORMALISATIONS, help="replaces the checkpoint's own normalisation")
    parser.add_argument("--repository", type=Path, default=REPOSITORY, help="Triton model repository (%(default)s)")
    parser.add_argument(
        "--version",
        type=int,
        help="version folder to write (1 for a folder that training wrote, else the next free one)",
    )
    parser.add_argument("--photo", type=Path, default=PHOTO, help="photo of people to check on (%(default)s)")
    parser.add_argument(
        "--evaluate",
        nargs="+",
        type=Path,
        metavar="DATASET",
        default=[],
        help="labelled photos: compare head counts of both models on some of them, then count all through the service",
    )
    parser.add_argument("--split", help="take only these photos of the data sets: train, test or validate")
    return parser


def run(options: argparse.Namespace, export: Callable[[ModelCard, Iterator[Images]], Path]) -> None:
    """Export a network, and evaluate it on request; errors end the process with one line.

    Args:
        options: Flags of `counter_parser`.
        export: Function from card and photos, to compare head counts on, to the path of the model file.
    """
    card = find_card(options.card)
    try:
        if options.evaluate and card.name not in CARDS:
            raise CardError(
                f"--evaluate measures what the service runs, and no route runs {card.name}; put its card into CARDS"
            )
        options.version = options.version or default_version(card, options.checkpoint, options.repository)
        model = export(card, labelled_photos(card, options.evaluate, options.split))
        if options.evaluate:
            evaluate_served(card, model, options.evaluate, options.split)
    except CrowdServeError as err:
        sys.exit(f"error: {err}")


def default_version(card: ModelCard, checkpoint: Path, repository: Path) -> int:
    """The version to write if none is named: 1 for a folder that training wrote, else the next free one.

    Args:
        card: Card of the exported network.
        checkpoint: Folder that training wrote, version folder of a served model, or what others published.
        repository: A Triton model repository.
    """
    newest = newest_version(repository, card)
    elsewhere = not (checkpoint / META_FILE).is_file() or (checkpoint / MODEL_FILE).exists()
    return int(newest.name) + 1 if newest and elsewhere else 1


def labelled_photos(card: ModelCard, datasets: list[Path], split: str | None) -> Iterator[Images]:
    """Up to `PARITY_PHOTOS` photos of the data sets as the network gets them: uint8 [1, height, width, 3] each."""
    if not datasets:
        return
    from crowdserve.evaluation.photos import choose_photos

    geometry = card.geometry
    for photo in choose_photos(datasets, split=split, limit=PARITY_PHOTOS):
        image = fit_within(decode_image(photo.sample.image.read_bytes()), geometry.max_side_px)
        yield pad_bottom_right(image, multiple=geometry.pad_multiple, min_side_px=geometry.min_side_px)[None]


def evaluate_served(card: ModelCard, model: Path, datasets: list[Path], split: str | None) -> None:
    """Run the exported network in the service, print its errors, and keep them beside the model file.

    Args:
        card: The card of the network.
        model: Path of the model file, `<repository>/<card>/<version>/model.onnx`.
        datasets: Folders of labelled photos.
        split: The split to evaluate on, as in `crowdserve evaluate`.
    """
    from rich.console import Console
    from tqdm import tqdm

    from crowdserve.cards.records import keep_evaluation
    from crowdserve.client.service import ServiceClient
    from crowdserve.evaluation.api import Job, evaluate
    from crowdserve.evaluation.counting import Choices, Failure
    from crowdserve.evaluation.predictions import Prediction
    from crowdserve.evaluation.report import print_outcome
    from crowdserve.evaluation.run import SUMMARY_FILE
    from crowdserve.local.service import EmbeddedService

    repository, digest = model.parents[2], hashlib.sha256(model.read_bytes()).hexdigest()
    output = Path("evaluation") / f"{card.name}-{digest[:12]}"
    job = Job(datasets, output, Choices(card.routes[0], card.family), split=split)
    with (
        EmbeddedService(repository) as service,
        ServiceClient(service.http_url, use_proxy=False) as client,
        tqdm(desc="counting", unit="photo") as bar,
    ):

        def advance(_: Prediction | Failure) -> None:
            bar.update()

        outcome = evaluate(job, client, watch=advance)
    print_outcome(outcome, Console())
    if outcome.failures:
        raise SetupError(f"{len(outcome.failures)} photos were not counted, the first: {outcome.failures[0].error}")
    print(f"wrote {keep_evaluation(output / SUMMARY_FILE, repository)}")

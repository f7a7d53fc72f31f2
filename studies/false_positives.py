"""Count the people that the service finds in images without people.

    python -m studies.false_positives

The command draws 25 images, fetches 41 freely licensed photos (120 MB of Debian packages, once), starts a service,
sends each image on the route of the scene classifier and on the other one, and prints the count of each counter, then
the median and the worst. It takes about eight minutes on two idle cores. `--page` writes the tables into the Markdown
page that records them.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from PIL import Image
from tqdm import tqdm

from crowdserve.cards import COUNTER_CHOICES, COUNTERS, ROUTES
from crowdserve.client.service import ServiceClient
from crowdserve.errors import CrowdServeError
from crowdserve.local.service import EmbeddedService
from crowdserve.nets.imagenet import cache_dir
from crowdserve.pages.markdown import fill_mark, markdown_table
from studies.drawn_images import draw_images
from training.data.free_photos import fetch_photos, read_photos

CACHE = cache_dir() / "false_positives"
MEDIAN_TARGET, WORST_TARGET = 1.0, 10.0
"""Counts to stay under, in people, on the route that the classifier takes."""


@dataclass(frozen=True, slots=True)
class EmptyImage:
    """An image of the set: its file, content, source and licence."""

    path: Path
    shows: str
    source: str
    licence: str

    @property
    def name(self) -> str:
        """Unique name in the set."""
        return self.path.stem


@dataclass(frozen=True, slots=True)
class Finding:
    """People counted where there are none: by each counter on each route, and which route the classifier took."""

    image: EmptyImage
    counts: Mapping[str, Mapping[str, float]]
    route: str

    def count(self, counter: str = COUNTERS[0], route: str = "auto") -> float:
        """The count of this counter on this route, as a caller gets it; the default ones if left out."""
        return self.counts[counter][self.route if route == "auto" else route]


def make_images(cache: Path) -> list[EmptyImage]:
    """The whole set, drawn and fetched into a cache folder.

    Raises:
        DatasetError: If a photo cannot be fetched.
    """
    cache.mkdir(parents=True, exist_ok=True)
    photos = read_photos("test")
    images = [
        EmptyImage(path, photo.shows, photo.source, photo.licence)
        for photo, path in zip(photos, fetch_photos(photos, cache), strict=True)
    ]
    for name, pixels in draw_images().items():
        path = cache / f"{name}.png"
        Image.fromarray(pixels).save(path)
        images.append(EmptyImage(path, name.partition("-")[2].replace("-", " "), "drawn", "Apache-2.0"))
    return images


def count_image(image: EmptyImage, client: ServiceClient) -> Finding:
    """Count an image on the route of the classifier, then on every other route."""
    data = image.path.read_bytes()
    chosen = client.count(data, route="auto", counter="average")
    others = {r: client.count(data, route=r, counter="average") for r in ROUTES if r != chosen.route}
    answers = others | {chosen.route: chosen}
    by_route = {route: {**answer.counts, "average": answer.count} for route, answer in answers.items()}
    return Finding(image, {c: {r: by_route[r][c] for r in ROUTES} for c in COUNTER_CHOICES}, chosen.route)


def count_images(images: Sequence[EmptyImage], client: ServiceClient) -> list[Finding]:
    """Count every image, in the order of the set; prints one JSON object per image."""
    findings = []
    for image in tqdm(images, unit="image"):
        finding = count_image(image, client)
        counts = {f"{r} {c}": round(finding.count(c, r), 2) for r in ROUTES for c in COUNTERS}
        print(json.dumps({"image": image.name, "route": finding.route, **counts}), flush=True)
        findings.append(finding)
    return findings


def summary_table(findings: Sequence[Finding]) -> str:
    """For each counter and route, the classifier's among them: median, worst, and number of counts over the target."""
    rows = []
    for counter in COUNTER_CHOICES:
        for route in ("auto", *ROUTES):
            counts = [finding.count(counter, route) for finding in findings]
            over = sum(count > WORST_TARGET for count in counts)
            rows.append((f"`{counter}`", f"`{route}`", f"{median(counts):.1f}", f"{max(counts):.1f}", str(over)))
    return markdown_table(("counter", "route", "median", "worst", f"over {WORST_TARGET:.0f}, of {len(findings)}"), rows)


def image_table(findings: Sequence[Finding]) -> str:
    """One row per image, the worst by the default counter first; the classifier's route is in bold."""
    rows = []
    for finding in sorted(findings, key=lambda f: (-round(f.count(), 1), f.image.name)):
        image, counts = finding.image, []
        for counter in COUNTERS:
            for route in ROUTES:
                shown = f"{finding.count(counter, route):.1f}"
                counts.append(f"**{shown}**" if route == finding.route else shown)
        rows.append((image.name, image.shows, *counts, image.source, image.licence))
    columns = (f"{counter}, {route}" for counter in COUNTERS for route in ROUTES)
    return markdown_table(("image", "shows", *columns, "source", "licence"), rows)


def write_page(page: Path, findings: Sequence[Finding], models: Mapping[str, str]) -> None:
    """Replace the tables of a Markdown page."""
    versions = ", ".join(f"{name} {version}" for name, version in models.items())
    taken = ", ".join(f"{sum(f.route == route for f in findings)} {route}" for route in ROUTES)
    summary = f"{summary_table(findings)}\n\nThe classifier's routes: {taken}. Counted by {versions}."
    text = fill_mark(page.read_text(), "summary", summary)
    page.write_text(fill_mark(text, "images", image_table(findings)))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m studies.false_positives", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument(
        "--repository", type=Path, default=Path("model_repository"), help="models to serve (%(default)s)"
    )
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder of the images (%(default)s)")
    parser.add_argument("--threads", type=int, help="CPU threads of one network; every core if left out")
    parser.add_argument("--page", type=Path, help="Markdown page whose tables are replaced")
    options = parser.parse_args(arguments)
    try:
        images = make_images(options.cache)
        with (
            EmbeddedService(options.repository, threads=options.threads) as service,
            ServiceClient(service.http_url, use_proxy=False) as client,
        ):
            findings = count_images(images, client)
            models = used_models(client, images[0])
    except CrowdServeError as err:
        sys.exit(f"error: {err}")
    print_verdict(findings)
    if options.page is not None:
        write_page(options.page, findings, models)


def used_models(client: ServiceClient, image: EmptyImage) -> dict[str, str]:
    """Versions of the networks of every route."""
    data = image.path.read_bytes()
    answers = [client.count(data, route=route, counter="average") for route in ROUTES]
    return {name: version for answer in answers for name, version in answer.models.items()}


def print_verdict(findings: Sequence[Finding]) -> None:
    """Median and worst of each counter beside their targets."""
    for counter in COUNTER_CHOICES:
        found = sorted(finding.count(counter) for finding in findings)
        for name, value, target in (("median", median(found), MEDIAN_TARGET), ("worst", found[-1], WORST_TARGET)):
            verdict = "ok" if value <= target else "OVER"
            print(f"{counter:<8} {name:<7}{value:8.1f} people, target {target:4.1f}  {verdict}")


if __name__ == "__main__":
    main()

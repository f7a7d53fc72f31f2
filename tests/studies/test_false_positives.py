from pathlib import Path

import pytest
from PIL import Image

from crowdserve.cards import CARDS, COUNTER_CHOICES, ROUTES
from crowdserve.client.service import ServiceClient
from crowdserve.local.service import EmbeddedService
from studies.drawn_images import draw_images
from studies.false_positives import (
    EmptyImage,
    Finding,
    count_images,
    image_table,
    print_verdict,
    summary_table,
    used_models,
    write_page,
)

SHARES = {"csrnet": 1.0, "ssdcnet": 0.5, "average": 0.75}


def finding(name: str, route: str, **counts: float) -> Finding:
    """SSDCNet counts half of what CSRNet does here."""
    by_counter = {c: {r: n * share for r, n in counts.items()} for c, share in SHARES.items()}
    return Finding(EmptyImage(Path(f"{name}.png"), f"a {name}", "drawn", "CC0-1.0"), by_counter, route)


FINDINGS = [
    finding("wall", "sparse", dense=30.0, sparse=0.5),
    finding("gravel", "dense", dense=12.0, sparse=0.25),
    finding("sky", "sparse", dense=0.0, sparse=0.0),
]


def test_route_of_the_classifier_is_evaluated(capsys: pytest.CaptureFixture[str]) -> None:
    assert summary_table(FINDINGS).splitlines()[2:] == [
        "| `csrnet` | `auto` | 0.5 | 12.0 | 1 |",
        "| `csrnet` | `dense` | 12.0 | 30.0 | 2 |",
        "| `csrnet` | `sparse` | 0.2 | 0.5 | 0 |",
        "| `ssdcnet` | `auto` | 0.2 | 6.0 | 0 |",
        "| `ssdcnet` | `dense` | 6.0 | 15.0 | 1 |",
        "| `ssdcnet` | `sparse` | 0.1 | 0.2 | 0 |",
        "| `average` | `auto` | 0.4 | 9.0 | 0 |",
        "| `average` | `dense` | 9.0 | 22.5 | 1 |",
        "| `average` | `sparse` | 0.2 | 0.4 | 0 |",
    ]
    print_verdict(FINDINGS)
    verdicts = [line.split()[-1] for line in capsys.readouterr().out.splitlines()]
    assert verdicts == ["ok", "OVER", "ok", "ok", "ok", "ok"]


def test_worst_image_comes_first_with_its_route_in_bold() -> None:
    rows = image_table(FINDINGS).splitlines()[2:]
    assert [row.split(" | ")[0] for row in rows] == ["| gravel", "| wall", "| sky"]
    assert rows[1] == "| wall | a wall | 30.0 | **0.5** | 15.0 | **0.2** | drawn | CC0-1.0 |"


def test_page_names_the_models(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    marks = "".join(f"<!-- {name}: generated -->\n<!-- {name}: end -->\n" for name in ("summary", "images"))
    page.write_text(f"above\n{marks}below\n")
    write_page(page, FINDINGS, {"csrnet_a": "2", "csrnet_b": "1"})
    text = page.read_text()
    assert "The classifier's routes: 1 dense, 2 sparse. Counted by csrnet_a 2, csrnet_b 1." in text
    assert image_table(FINDINGS) in text
    assert text.startswith("above")
    assert text.endswith("below\n")


@pytest.mark.e2e
def test_images_are_counted_on_every_route(
    small_service: EmbeddedService, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = []
    for name in ("plain-grey", "checkers-fine"):
        Image.fromarray(draw_images()[name]).save(tmp_path / f"{name}.png")
        images.append(EmptyImage(tmp_path / f"{name}.png", name, "drawn", "Apache-2.0"))
    with ServiceClient(small_service.http_url, use_proxy=False) as client:
        findings = count_images(images, client)
        for found in findings:
            data = found.image.path.read_bytes()
            for counter in COUNTER_CHOICES:
                asked = {route: client.count(data, route=route, counter=counter).count for route in ROUTES}
                assert found.counts[counter] == pytest.approx(asked, abs=1e-4)
        assert used_models(client, images[0]).keys() >= set(CARDS)
    assert [found.image for found in findings] == images
    assert {found.route for found in findings} <= set(ROUTES)
    assert capsys.readouterr().out.count('"image"') == len(images)

"""The page about the models has everything that is generated, and pictures that exist."""

import re

import pytest

from crowdserve.cards import CARDS, ENSEMBLES, ModelCard
from crowdserve.pages.markdown import has_mark
from crowdserve.pages.models import fill_page
from crowdserve.pages.sections import card_section
from tests.docs.pages import DOCS, ROOT

PAGE = DOCS / "reference" / "models.md"
REPOSITORY = ROOT / "model_repository"


@pytest.mark.parametrize("card", CARDS.values(), ids=CARDS)
def test_every_card_has_its_part_of_the_models_page(card: ModelCard) -> None:
    assert has_mark(PAGE.read_text(), f"card-{card.name}")
    section = card_section(REPOSITORY, card)
    for fact in (card.title, f"{card.parameters:,}", card.provenance.licence, card.provenance.paper):
        assert fact in section


@pytest.mark.parametrize("page", [PAGE, ROOT / "README.md"], ids=["models", "readme"])
def test_tables_about_the_models_are_up_to_date(page: object) -> None:
    text = PAGE.read_text() if page == PAGE else (ROOT / "README.md").read_text()
    assert has_mark(text, "models")
    assert fill_page(text, REPOSITORY) == text
    for name in CARDS:
        assert f"| `{name}` |" in text


def test_every_ensemble_is_listed() -> None:
    assert all(f"| `{ensemble.name}` |" in PAGE.read_text() for ensemble in ENSEMBLES.values())


def test_the_models_page_shows_small_pictures_that_exist() -> None:
    links = re.findall(r"\]\((\.\./images/[^)]+)\)", PAGE.read_text())
    assert links
    for link in links:
        assert (PAGE.parent / link).stat().st_size < 100_000, link

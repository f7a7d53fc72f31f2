"""A check of 32-bit networks that round to a served one, for the tests of both frameworks."""

from pathlib import Path

import numpy as np

from crowdserve.cards import find_card
from crowdserve.nets.served_weights import MODEL_FILE
from export.verify.images import PHOTO, read_photo, scaled
from export.verify.parity import check_counts
from studies.fp16_rounding import reference_of


def check_drawn_networks(repository: Path, name: str) -> None:
    """Two random networks must nearly agree with the served one, and differ from each other."""
    card, folder = find_card(name), repository / name / "1"
    model = (folder / MODEL_FILE).read_bytes()
    photos = [scaled(read_photo(PHOTO), 256, 384)]
    references = (reference_of(card, folder, np.random.default_rng(n)) for n in (0, 1))
    found = [check_counts(model, card, reference, photos) for reference in references]
    assert found[0] != found[1]
    assert 1e-6 < max(found)[0] < 5e-3

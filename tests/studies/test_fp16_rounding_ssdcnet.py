"""An SSDCNet in 32 bits that rounds to a served one, compared with it."""

from pathlib import Path

import torch

from tests.support.drawn_networks import check_drawn_networks


def test_drawn_networks_count_nearly_as_the_served_one(project_repository: Path) -> None:
    with torch.random.fork_rng():
        check_drawn_networks(project_repository, "ssdcnet_shb")

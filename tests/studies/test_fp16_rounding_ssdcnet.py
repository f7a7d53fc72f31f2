"""An SSDCNet in 32 bits that rounds to a served one, compared with it."""

import torch

from tests.support.drawn_networks import check_drawn_networks
from tests.support.paths import REPOSITORY


def test_random_networks_nearly_agree_with_the_served_one() -> None:
    with torch.random.fork_rng():
        check_drawn_networks(REPOSITORY, "ssdcnet_shb")

"""A release in the rollouts' stand-ins, whose transcripts a page shows."""

from tests.rollout.conftest import kubernetes_api as kubernetes_api
from tests.rollout.conftest import make_world as make_world
from tests.rollout.conftest import world as world

"""What can go wrong between a rollout and the cluster.

CrowdServeError
└── SetupError
    ├── ClusterError       the API server cannot be reached, or refuses for good
    └── RolloutRefused     the release is in no state for what was asked
Outdated and AnswerLost are not errors of a command: whoever sees them reads again and decides anew.
"""

from crowdserve.errors import SetupError


class ClusterError(SetupError):
    """The API server cannot be reached, or refuses for good."""


class RolloutRefused(SetupError):
    """The release is in no state for what was asked."""


class Outdated(Exception):
    """409: the object has changed since it was read."""


class AnswerLost(Exception):
    """The connection broke or timed out: the server may or may not have done what was asked."""

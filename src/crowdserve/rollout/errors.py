"""Errors between a rollout and the cluster.

CrowdServeError
└── SetupError
    ├── ClusterError       the API server cannot be reached, or refuses permanently
    │   ├── ServerAway     it has not answered for as long as the command waits
    │   └── AccessDenied   it refuses this caller
    └── RolloutRefused     the release's state does not allow the action
Outdated and AnswerLost are not errors of a command: the code that catches them reads and decides again.
"""

from crowdserve.errors import SetupError


class ClusterError(SetupError):
    """The API server cannot be reached, or refuses permanently."""


class ServerAway(ClusterError):
    """The API server has not answered for as long as the command waits."""


class AccessDenied(ClusterError):
    """401 or 403: the API server refuses this caller."""


class RolloutRefused(SetupError):
    """The release's state does not allow the action."""


class Outdated(Exception):
    """409: the object has changed since it was read."""


class AnswerLost(Exception):
    """The connection broke or timed out: the server may or may not have carried out the request."""

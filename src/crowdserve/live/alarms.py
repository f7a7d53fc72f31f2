"""Alarms: a value that stays over its limit raises one alert, and one that falls clearly below it ends that."""

from dataclasses import dataclass
from enum import Enum


class Change(Enum):
    """What a value has changed."""

    RAISED = "raised"
    CLEARED = "cleared"


@dataclass(slots=True)
class Alarm:
    """One limit.

    Attributes:
        limit: Value from which on it is exceeded.
        for_seconds: How long it has to be exceeded, without a value below it, before an alert is raised.
        hysteresis: Share of the limit by which the value must be lower before the alert is over.
        raised_at: When the alert was raised; None while there is none.
    """

    limit: float
    for_seconds: float = 0.0
    hysteresis: float = 0.1
    raised_at: float | None = None
    _since: float | None = None

    def update(self, value: float, at: float, moment: float | None = None) -> Change | None:
        """Take a value in.

        A gap without values changes nothing: an alert stays, and time over the limit goes on.

        Args:
            value: It.
            at: When, seconds since the epoch.
            moment: The same by a clock that is never set, which says how long it has been; `at` if None.
        """
        moment = at if moment is None else moment
        if self.raised_at is not None:
            if value >= self.limit * (1 - self.hysteresis):
                return None
            self.raised_at = self._since = None
            return Change.CLEARED
        if value < self.limit:
            self._since = None
            return None
        self._since = moment if self._since is None else self._since
        if moment - self._since < self.for_seconds:
            return None
        self.raised_at = at
        return Change.RAISED

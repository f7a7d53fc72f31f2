"""Durations as people write them: `5s`, `2m`, `24h`, `30d`, or a number of seconds."""

import math
import re

_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_FORM = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd]?)")


def seconds_of(value: object) -> float:
    """A duration in seconds.

    Raises:
        ValueError: If the value is none.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    found = _FORM.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        raise ValueError("expected a duration such as 5s, 2m, 24h, 30d")
    return float(found[1]) * _SECONDS[found[2]]

"""Levels of crowding by people per m².

Fruin's levels of service of walkways end with E from 1.08 people per m² (10 square feet a person), where few can walk
at a pace of their own, and F from 2.17 (5 square feet), where a flow breaks down into shuffling. At 3.57 (3 square
feet) people touch without wanting to, and at 5.55 (2 square feet) forces that endanger them can build up. Still is
quoted with 5 people per m² as uncomfortable and more as possibly dangerous.

Sources: J. J. Fruin, Pedestrian Planning and Design, 1971; J. J. Fruin, The Causes and Prevention of Crowd Disasters,
1993; G. K. Still in CNN, 30 October 2022. docs/how-to/watch.md says what of this was checked.
"""

from collections.abc import Mapping
from typing import Literal

LevelName = Literal["busy", "dense", "critical"]

FREE = "free"
DEFAULT_LEVELS: Mapping[LevelName, float] = {"busy": 1.08, "dense": 2.17, "critical": 3.57}
"""People per m² from which on a zone is at a level; below the first it is free."""

LEVELS = (FREE, *DEFAULT_LEVELS)
_HYSTERESIS = 0.1
"""Share of a level's start by which the density must be lower before the level is left."""


def level_of(density: float, starts: Mapping[LevelName, float], before: str = FREE) -> str:
    """The level of a density.

    Args:
        density: People per m².
        starts: Where each level begins.
        before: The level until now: it is left downwards only when the density is clearly lower.
    """
    reached = FREE
    for name in DEFAULT_LEVELS:
        held = LEVELS.index(name) <= LEVELS.index(before)
        if density >= starts[name] * (1 - _HYSTERESIS if held else 1):
            reached = name
    return reached

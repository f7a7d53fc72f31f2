"""The choice of a route: by the classifier where it is sure, by the counts of both routes where it is not.

The errors are lopsided. On the sparse route a dense crowd vanishes: thousands are counted as a few. On the dense route
an empty street or gravel gains some. So the limits are not one half, and between them nothing is lost: the networks of
both routes are asked, and the sparse route is only taken if its networks see what the dense route's see, or nothing.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from crowdserve.cards import SceneRoute


@dataclass(frozen=True, slots=True)
class Decision:
    """Limits of the probability of a dense scene, and the test where it lies between them.

    A classifier whose record says nothing has the defaults: it is never unsure, and the likelier scene is taken.

    Attributes:
        dense_from: The scene is surely dense from this probability.
        sparse_up_to: The scene is surely sparse up to this probability, if that is less than `dense_from`.
        nobody: People up to whom the sparse networks see nobody.
        alike: The sparse route is taken too where its networks see at least this share of the dense ones' people.
    """

    dense_from: float = 0.5
    sparse_up_to: float = 0.5
    nobody: float = 0.0
    alike: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.sparse_up_to <= self.dense_from <= 1:
            raise ValueError(f"limits {self.sparse_up_to} and {self.dense_from}; expected 0 to 1, sparse first")
        if not (0 <= self.nobody < math.inf and 0 <= self.alike <= 1):
            raise ValueError(f"nobody {self.nobody}, alike {self.alike}; expected people, and a share of 0 to 1")

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Decision":
        """The decision of a classifier's record.

        Raises:
            ValueError: If it is not one.
        """
        found = record.get("decision", {})
        names = {field.name for field in fields(cls)}
        if not isinstance(found, Mapping) or set(found) - names or not all(map(_is_number, found.values())):
            raise ValueError(f"decision {found!r}; expected numbers for {', '.join(sorted(names))}")
        return cls(**found)

    def to_record(self) -> dict[str, float]:
        """The entry of a record."""
        return asdict(self)

    def likelier(self, dense_probability: float) -> SceneRoute:
        """The scene by the probability alone."""
        return "dense" if dense_probability >= self.dense_from else "sparse"

    def is_unsure(self, dense_probability: float) -> bool:
        """Whether the probability lies between the limits."""
        return self.sparse_up_to < dense_probability < self.dense_from

    def settled(self, people: Mapping[SceneRoute, float]) -> SceneRoute:
        """The scene where the classifier is unsure, by the people that each route counts."""
        dense, sparse = people["dense"], people["sparse"]
        return "sparse" if sparse <= self.nobody or sparse >= self.alike * dense else "dense"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

"""How many requests one process takes on: further ones are told to come again at once, before their body is read."""

from crowdserve.errors import Overloaded


class Admission:
    """Counts requests in progress or waiting.

    A request whose body still comes is not one of them: connections and their bodies have limits of their own, and
    callers that send slowly must not take the places of others.

    Args:
        places: Most requests.
    """

    def __init__(self, places: int) -> None:
        self._free = places

    def check(self) -> None:
        """Refuse a request for which there is no place now.

        Raises:
            Overloaded: If every place is taken.
        """
        if self._free <= 0:
            raise Overloaded("as many requests as this service takes on are in progress or waiting; try again later")

    def __enter__(self) -> None:
        self.check()
        self._free -= 1

    def __exit__(self, *_: object) -> None:
        self._free += 1

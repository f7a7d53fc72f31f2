import asyncio

from crowdserve_transformer.transport.connections import ConnectionLimits, Connections


class FakeConnection:
    def __init__(self, last_active: float, answered: bool = False) -> None:
        self.last_active, self.answered, self.ended = last_active, answered, False

    def is_answered(self) -> bool:
        return self.answered

    def end(self) -> None:
        self.ended = True

    def check(self, now: float) -> None:
        """Never takes too long."""


def test_longest_silent_connection_makes_room() -> None:
    async def run() -> None:
        connections = Connections(ConnectionLimits(connections=3))
        working, old, new = FakeConnection(1, answered=True), FakeConnection(2), FakeConnection(3)
        assert all(connections.add(connection) for connection in (working, old, new))
        assert connections.add(FakeConnection(4, answered=True))
        assert [connection.ended for connection in (working, old, new)] == [False, True, False]

    asyncio.run(run())


def test_connection_is_refused_if_all_are_being_answered() -> None:
    async def run() -> None:
        connections = Connections(ConnectionLimits(connections=2))
        working = [FakeConnection(1, answered=True) for _ in range(2)]
        assert all(connections.add(connection) for connection in working)
        assert not connections.add(FakeConnection(2))
        connections.discard(working[0])
        assert connections.add(FakeConnection(3))

    asyncio.run(run())

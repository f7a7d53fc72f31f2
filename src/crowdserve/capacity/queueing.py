"""Waiting in front of several servers, for arrivals by chance and by the clock.

For arrivals by chance this is M/D/c: the share of photos that wait is Erlang's C, and the wait of those that do falls
off exponentially, twice as fast as with exponential service times (Kingman 1962, heavy traffic). N cameras with
periods and without a common beat come more evenly: N·D/D/1 (Roberts and Virtamo 1991), here with c servers taken for
one that is c times as fast:

    P(wait > t) = C · exp(-2x (x / N + 1 - ρ)),   x = t · c / service time

With N without bound it is M/D/c again. Where the time of service varies, waits are longer by the factor 1 + v (Allen
and Cunneen), v the variance over the squared mean. `tests/capacity/test_queueing.py` compares all of it with
simulations.
"""

import math
from dataclasses import dataclass

BY_CHANCE = math.inf
"""Sources of arrivals that know nothing of each other."""


@dataclass(frozen=True, slots=True)
class Queue:
    """One queue before some servers.

    Attributes:
        arrivals_per_second: Photos that come, on average.
        service_seconds: Time that a server takes for one.
        servers: How many serve.
        variability: Of the time of service: its variance over the square of its mean.
        sources: Cameras that send with one period and phases of their own; `BY_CHANCE` for arrivals without a pattern.
    """

    arrivals_per_second: float
    service_seconds: float
    servers: int
    sources: float = BY_CHANCE
    variability: float = 0.0

    @property
    def utilisation(self) -> float:
        """Share of the time in which a server is busy; from 1 up the queue grows without end."""
        return self.arrivals_per_second * self.service_seconds / self.servers

    @property
    def waiting_share(self) -> float:
        """Share of the photos that find every server busy (Erlang C)."""
        return erlang_c(self.servers, self.arrivals_per_second * self.service_seconds)

    def wait_seconds(self, share: float) -> float:
        """Time that this share of the photos does not wait longer than; infinite for a queue that grows."""
        if self.utilisation >= 1:
            return math.inf
        excess = math.log(self.waiting_share / (1 - share)) if self.waiting_share > 0 else -1.0
        excess *= 1 + self.variability
        if excess <= 0:
            return 0.0
        slack = 1 - self.utilisation
        # The positive root of 2x² / N + 2(1 - ρ)x = excess, in a form that holds for every N.
        x = excess / (slack + math.sqrt(slack**2 + 2 * excess / self.sources))
        return min(x * self.service_seconds / self.servers, self._longest_wait_seconds)

    @property
    def _longest_wait_seconds(self) -> float:
        """The wait of the last of all cameras if they send at once: none where each could have a server."""
        return math.inf if math.isinf(self.sources) else (self.sources - 1) // self.servers * self.service_seconds

    @property
    def mean_wait_seconds(self) -> float:
        """The mean wait of all photos, by the integral of the formula; infinite for a queue that grows."""
        if self.utilisation >= 1:
            return math.inf
        slack, scale = 1 - self.utilisation, self.service_seconds / self.servers
        if math.isinf(self.sources):
            return self.waiting_share * scale * (1 + self.variability) / (2 * slack)
        # The integral of exp(-(2x²/N + 2(1-ρ)x) / (1+v)) over x >= 0.
        root = math.sqrt(self.sources * (1 + self.variability) / 2)
        argument = slack * self.sources / (2 * root)
        mean = self.waiting_share * scale * math.sqrt(math.pi) / 2 * root * _erfcx(argument)
        return min(mean, self._longest_wait_seconds)


def erlang_c(servers: int, load: float) -> float:
    """Share of arrivals that wait, for a load in servers (arrivals a second times seconds each).

    By Erlang's B, which is summed without factorials: B(0) = 1, B(k) = aB(k-1) / (k + aB(k-1)).
    """
    if load >= servers:
        return 1.0
    blocked = 1.0
    for each in range(1, servers + 1):
        blocked = load * blocked / (each + load * blocked)
    return blocked / (1 - load / servers * (1 - blocked))


def _erfcx(x: float) -> float:
    """exp(x²) · erfc(x) for x >= 0; its series where the first factor would overflow."""
    if x < 25:
        return math.exp(x * x) * math.erfc(x)
    return (1 - 1 / (2 * x * x)) / (x * math.sqrt(math.pi))

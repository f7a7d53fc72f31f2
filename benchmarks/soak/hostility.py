"""The senders of attacks: each makes all of them in turns, in an order of its own."""

import random
import threading

from benchmarks.soak.answers import Answer, Answers
from benchmarks.soak.attacks import SLOW, all_attacks, timed, wait_of
from benchmarks.soak.connection import Address

SENDERS, SLOW_SENDERS = 4, 6
"""Those who hold connections for long keep nobody from sending the rest."""


class Hostility:
    """Some threads that attack until the run ends."""

    def __init__(self, address: Address, answers: Answers, ended: threading.Event, seed: int) -> None:
        self._address = address
        self._answers = answers
        self._ended = ended
        self._attacks = all_attacks()
        quick = [kind for kind in self._attacks if kind not in SLOW]
        chosen = [quick] * SENDERS + [list(SLOW)] * SLOW_SENDERS
        self.threads = [
            threading.Thread(target=self._attack, args=([*kinds], random.Random(seed + number)))
            for number, kinds in enumerate(chosen)
        ]

    def _attack(self, kinds: list[str], rng: random.Random) -> None:
        while True:
            rng.shuffle(kinds)
            for kind in kinds:
                replies, seconds = timed(self._attacks[kind], self._address, rng)
                for reply in replies:
                    self._answers.add(Answer(kind, False, reply.status, seconds / len(replies), reply.retry_after))
                if self._ended.wait(wait_of(kind)):
                    return

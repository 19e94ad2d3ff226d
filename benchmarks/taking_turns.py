"""Times processes in turns, so that a change of the machine's speed hits all of them. Imported by benchmarks."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Sequence

PAUSE = 0.3  # seconds between turns: a library's threads go on spinning for a while after their last work


class Contender:
    """A process that answers each number on its standard input with the seconds that it took to do the work so often.

    Attributes:
        name: of what it runs.
        greeting: what it says once it is ready.
        count: how often it does the work in a turn.
    """

    def __init__(self, name: str, command: Sequence[str], environment: dict[str, str] | None = None) -> None:
        self.name, self.count = name, 1
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | (environment or {})
        )
        self.greeting = self._answer()

    def fit(self, seconds: float) -> None:
        """Sets `count` so that a turn takes about so long."""
        self._seconds(1)  # what is only done once
        self.count = max(1, round(seconds / self._seconds(2)))

    def turn(self) -> float:
        """Does the work `count` times; returns the seconds of once."""
        time.sleep(PAUSE)
        return self._seconds(self.count)

    def end(self) -> str:
        """Ends the process with a 0; returns what it answers."""
        answer = self._ask(0)
        self._process.wait()
        return answer

    def _seconds(self, count: int) -> float:
        return float(self._ask(count)) / count

    def _ask(self, count: int) -> str:
        assert self._process.stdin is not None
        print(count, file=self._process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        answer = self._process.stdout.readline().strip()
        if not answer:
            raise SystemExit(f"{self.name} ended without an answer; see above")
        return answer


def take_turns(
    contenders: Sequence[Contender], rounds: int, seconds: float, after_each: Callable[[], object] = lambda: None
) -> dict[str, list[float]]:
    """Returns the seconds of each one's work, a value a round.

    Args:
        contenders: who takes part.
        rounds: turns of each.
        seconds: about how long a turn takes.
        after_each: is called after each round.
    """
    for one in contenders:
        one.fit(seconds)
    times: dict[str, list[float]] = {one.name: [] for one in contenders}
    for _ in range(rounds):
        for one in contenders:
            times[one.name].append(one.turn())
        after_each()
    return times

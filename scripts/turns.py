"""Programs that are timed take turns: each waits in a process of its own, so that none has
another's memory, threads or settings.
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Rates = dict[str, list[float]]  # images/s of each contestant, round by round


def serve(
    step: Callable[[int], None],
    *,
    images: int,
    untimed: int,
    settle: Callable[[], object],
    facts: Callable[[], dict[str, Any]],
) -> None:
    """A contestant's side: for every number on stdin, so many steps of `images` images; the seconds
    go to stdout.

    The first `untimed` are not timed: while the others had their turns, a loader's workers have
    made batches in advance. `settle` waits until all is done. An empty line asks for the `facts`
    and ends.
    """
    done = 0
    for line in sys.stdin:
        if not line.strip():
            print(json.dumps(facts()), flush=True)
            return
        steps = int(line)
        for number in range(done, done + untimed):
            step(number)
        settle()
        done += untimed
        began = time.perf_counter()
        for number in range(done, done + steps):
            step(number)
        done += steps
        settle()
        print(
            json.dumps({"seconds": time.perf_counter() - began, "images": steps * images}),
            flush=True,
        )


class Contestant:
    """The timer's side."""

    def __init__(self, name: str, command: list[str]) -> None:
        self.name = name
        script = [sys.executable, str(Path(__file__).parent / command[0]), *command[1:]]
        self.process = subprocess.Popen(
            script, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, line: str) -> dict[str, Any]:
        """Raises RuntimeError where the contestant has ended."""
        assert self.process.stdin and self.process.stdout
        try:
            self.process.stdin.write(f"{line}\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.name} ended with exit code {self.process.wait()}")
        return json.loads(answer)

    def rate(self, steps: int) -> float:
        """Images/s over so many steps."""
        answer = self.ask(str(steps))
        return answer["images"] / answer["seconds"]

    def seconds(self, steps: int) -> float:
        return self.ask(str(steps))["seconds"]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


def interleave(
    contestants: list[Contestant],
    *,
    rounds: int,
    seconds: float,
    beside: Callable[[], None] = lambda: None,
) -> Rates:
    """Every round gives each contestant a turn of about `seconds`, so that a slow minute hits all
    of them; `beside` runs once a round.

    What they compile, they compile before.
    """
    turns = {}
    for one in contestants:
        began = time.perf_counter()
        one.seconds(1)
        each = one.seconds(3) / 3
        turns[one.name] = max(2, round(seconds / each))
        print(
            f"{one.name}: ready after {time.perf_counter() - began:.0f} s, {turns[one.name]} "
            "steps a turn",
            file=sys.stderr,
        )
    rates: Rates = {one.name: [] for one in contestants}
    for number in range(rounds):
        beside()
        for one in contestants:
            rates[one.name].append(one.rate(turns[one.name]))
        print(
            f"round {number + 1}: "
            + ", ".join(f"{name} {speeds[-1]:,.1f}" for name, speeds in rates.items()),
            file=sys.stderr,
        )
    return rates


def summarise(rates: Rates) -> dict[str, dict[str, Any]]:
    """Medians, and ratios to the first contestant's rate taken round by round."""
    first = next(iter(rates.values()))
    return {
        name: {
            "images_per_second": statistics.median(speeds),
            "rounds": speeds,
            "ratio": statistics.median(
                mine / theirs for mine, theirs in zip(speeds, first, strict=True)
            ),
        }
        for name, speeds in rates.items()
    }

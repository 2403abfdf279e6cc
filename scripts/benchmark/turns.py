"""Contestants take turns, so that a slow minute of the machine hits all of them.

Most are processes of their own: none has another's memory, threads or settings, and one that runs
out of memory loses its own row alone.
"""

import statistics
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

from scripts.benchmark.plan import Deadline, NotMeasured, Settings, TimeUp, not_measured
from scripts.benchmark.process import Contestant
from scripts.benchmark.report import Figures

FACTS_TIMEOUT = 30  # seconds to describe itself, granted even when the time is up

Rates = dict[str, list[float]]  # images/s of each contestant, round by round
Turns = dict[str, Callable[[], float]]  # what each does in its turn: images/s; raises NotMeasured


def do_nothing() -> None:
    """Beside a race."""


def one_round(turns: Turns) -> tuple[dict[str, float], dict[str, str]]:
    """Rates, and why those that failed have none. Raises TimeUp."""
    rates: dict[str, float] = {}
    failed: dict[str, str] = {}
    for name, turn in turns.items():
        try:
            rates[name] = turn()
        except TimeUp:
            raise
        except NotMeasured as reason:
            failed[name] = str(reason)
    return rates, failed


def take_turns(
    turns: Turns, *, rounds: int, deadline: Deadline, beside: Callable[[], None] = do_nothing
) -> tuple[Rates, dict[str, str]]:
    """Every round gives each contestant a turn; `beside` runs once a round.

    Who fails drops out, with all rounds, and for a reason. A round that, going by those before it,
    would not end in time is not begun; one that is cut off does not count.
    """
    rates: Rates = {name: [] for name in turns}
    dropped: dict[str, str] = {}
    longest = 0.0
    for number in range(rounds):
        if deadline.left() <= longest:
            break
        began = deadline.now()
        beside()
        try:
            found, failed = one_round({name: turns[name] for name in rates})
        except TimeUp:
            break
        dropped |= failed
        rates = {name: [*rates[name], rate] for name, rate in found.items()}
        longest = max(longest, deadline.now() - began)
        told = ", ".join(f"{name} {rate:,.1f}" for name, rate in found.items())
        print(f"round {number + 1}: {told}", file=sys.stderr)
    late = {name: str(TimeUp()) for name, speeds in rates.items() if not speeds}
    return {name: speeds for name, speeds in rates.items() if speeds}, dropped | late


def summarise(rates: Rates, baseline: str) -> dict[str, Figures]:
    """Medians, and ratios to the baseline's rates taken round by round; None without a baseline."""

    def ratio(speeds: list[float]) -> float | None:
        if baseline not in rates:
            return None
        pairs = zip(speeds, rates[baseline], strict=True)
        return statistics.median(mine / theirs for mine, theirs in pairs)

    return {
        name: {
            "images_per_second": statistics.median(speeds),
            "rounds": speeds,
            "ratio": ratio(speeds),
        }
        for name, speeds in rates.items()
    }


def race(
    turns: Turns, settings: Settings, *, baseline: str, beside: Callable[[], None] = do_nothing
) -> dict[str, Figures]:
    """Figures of each contestant, or why it has none."""
    rates, dropped = take_turns(
        turns, rounds=settings.rounds, deadline=settings.deadline, beside=beside
    )
    found = summarise(rates, baseline)
    return {name: found.get(name) or not_measured(dropped[name]) for name in turns}


def race_processes(
    commands: dict[str, list[str]], settings: Settings, *, beside: Callable[[], None] = do_nothing
) -> dict[str, Figures]:
    """A race of processes; each also tells of itself. The first is the baseline.

    What they compile, they compile before the first round.
    """
    found: dict[str, Figures] = {}
    turns: Turns = {}
    now = settings.deadline.now
    with ExitStack() as stack:
        running = {
            name: stack.enter_context(Contestant(command, settings.deadline))
            for name, command in commands.items()
        }
        for name, one in running.items():
            began = now()
            try:
                steps = one.prepare(settings.seconds)
            except NotMeasured as reason:
                found[name] = not_measured(reason)
                print(f"{name}: {reason}", file=sys.stderr)
                continue
            turns[name] = partial(one.rate, steps)
            ready = f"ready after {now() - began:.0f} s, {steps} steps a turn"
            print(f"{name}: {ready}", file=sys.stderr)
        found |= race(turns, settings, baseline=next(iter(commands)), beside=beside)
        for name, figures in found.items():
            if "rounds" not in figures:
                continue
            try:
                figures |= running[name].ask(at_least=FACTS_TIMEOUT)
            except NotMeasured as reason:  # it has been timed all the same
                print(f"{name} tells nothing of itself: {reason}", file=sys.stderr)
    return {name: found[name] for name in commands}

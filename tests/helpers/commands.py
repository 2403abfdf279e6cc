"""The commands as a user calls them, and how they end."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# Eight layers, a few hundred pictures: a run of seconds that goes through everything.
TINY = [
    "model=resnet20",
    "model.depth=8",
    "dataset=synthetic",
    "dataset.train_images=300",
    "dataset.test_images=150",
    "batch_size=32",
    "schedule.iterations=24",
    "log_every=4",
    "eval_every=12",
    "checkpoint_every=8",
    "device=cpu",
]


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str


Command = Callable[..., Outcome]


def check_refused(outcome: Outcome, code: int, *parts: str) -> None:
    """One clear line on stderr that holds `parts`, and the exit code."""
    assert outcome.code == code, outcome
    assert outcome.err.count("\n") == 1, outcome.err
    for part in parts:
        assert part in outcome.err


def last_line(outcome: Outcome) -> dict[str, Any]:
    """What resnet-eval measured: the last line on stdout."""
    assert outcome.code == 0, outcome.err
    return dict(json.loads(outcome.out.splitlines()[-1]))

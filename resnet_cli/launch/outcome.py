"""How the runs of a sweep ended, and the table that closes it."""

import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from resnet_cli.run.run import Run
from resnet_cli.runtime.console import bold, duration
from resnet_cli.runtime.errors import FAILED, explain


@dataclass(frozen=True)
class Outcome:
    """How a run ended, in a line, and the exit code it would have had alone."""

    line: str
    code: int = 0
    planned: float | None = None  # seconds that a dry run expects


def outcome_of(error: Exception) -> Outcome:
    """The outcome of a run that `error` ended.

    Our own bugs leave their traceback on stderr; other runs need not suffer from them.
    """
    try:
        return Outcome(*explain(error))
    except Exception:
        with suppress(OSError):  # nobody may be left to read it
            traceback.print_exception(error, file=sys.stderr)
        reason = (str(error).splitlines() or [""])[0]
        return Outcome(f"ended by {type(error).__name__}: {reason}", FAILED)


def print_outcomes(runs: Sequence[Run], outcomes: Sequence[Outcome], *, seconds: float) -> int:
    """Prints every run and how it ended.

    Returns the first failure's exit code, 0 where all is well.
    """
    planned = [outcome.planned for outcome in outcomes if outcome.planned is not None]
    took = (
        f": about {duration(sum(planned))}, one after another"
        if planned
        else f" in {duration(seconds)}"
    )
    print(bold(f"{len(runs)} run{'s' * (len(runs) > 1)}{took}"))
    for run, outcome in zip(runs, outcomes, strict=True):
        print(f"  {run.folder!s:<50} {outcome.line}")
    return next((outcome.code for outcome in outcomes if outcome.code), 0)

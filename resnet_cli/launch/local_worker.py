"""The program of a worker process: several runs in one process, a training step each in turn.

Its stdin brings runs (JSON, a line each), its stdout how they ended; local.py is the parent.
"""

import dataclasses
import json
import os
import signal
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread

import torch

from resnet_cli.launch.outcome import Outcome, outcome_of
from resnet_cli.run.result import headline
from resnet_cli.run.run import Steps, run_from_plain, train_steps
from resnet_cli.runtime.console import Console
from resnet_cli.runtime.distributed import Context
from resnet_cli.runtime.errors import Stopped
from resnet_cli.runtime.signals import Interrupted, stop_on_signal

_MOST_AHEAD = 4  # steps of a run that wait for the device
_IDLE_SECONDS = 0.2  # between two checks for a signal while there is nothing to train


class _InFlight:
    """A run and, on a GPU, its stream with the steps that the device has still to do."""

    def __init__(self, steps: Steps) -> None:
        self.steps = steps
        self.stream = torch.cuda.Stream() if torch.cuda.is_available() else None
        self.ahead: deque[torch.cuda.Event] = deque()

    def is_ahead(self) -> bool:
        """Whether the device has enough to do for this run."""
        while self.ahead and self.ahead[0].query():
            self.ahead.popleft()
        return len(self.ahead) >= _MOST_AHEAD

    def advance(self) -> None:
        """One step. Raises what it raises, StopIteration after the last."""
        with torch.cuda.stream(self.stream):  # does nothing for None
            next(self.steps)
            if self.stream is not None:
                self.ahead.append(self.stream.record_event())


class RoundRobin:
    """The runs in flight.

    Each has a CUDA stream of its own, so that the device may work on one while the host prepares
    the next step of another. No run gets further ahead of the device than a few steps: else a slow
    network would fill the device's queue, and a fast one beside it would wait for every step of it.
    """

    def __init__(self) -> None:
        self.in_flight: dict[int, _InFlight] = {}

    def add(self, number: int, steps: Steps) -> None:
        """Takes up a run; `number` is what `round` calls it."""
        self.in_flight[number] = _InFlight(steps)

    def round(self) -> Iterator[tuple[int, Outcome]]:
        """A step of every run that the device waits for; yields those that ended with it. A run
        that fails ends alone.
        """
        for number, run in list(self.in_flight.items()):
            if run.is_ahead():
                continue
            try:
                run.advance()
                continue
            except StopIteration as end:
                outcome = Outcome(headline(end.value))
            except Stopped as stopped:
                outcome = Outcome(str(stopped), stopped.exit_code)
            except Exception as error:
                # this process has lost the device, and all its runs with it: a new one takes over
                if "CUDA error" in str(error):
                    raise
                outcome = outcome_of(error)
            del self.in_flight[number]
            yield number, outcome


class _LogConsole(Console):
    """Writes to log.txt alone, as the parent shows the progress of all runs.

    Warnings go to the parent as well.
    """

    def __init__(self, command: str) -> None:
        super().__init__(command, silent=True)

    def warn(self, text: str) -> None:
        with suppress(OSError):  # the parent may be gone, and the run still has to save
            super().warn(text)


def _read_stdin() -> SimpleQueue[str]:
    """The lines of stdin, as they come; its end asks to stop, as a signal does."""
    lines: SimpleQueue[str] = SimpleQueue()

    def read() -> None:
        # not sys.stdin: forked loader workers close that, and would wait for its lock for ever
        with open(0, closefd=False) as stdin:
            for line in stdin:
                lines.put(line)
        os.kill(os.getpid(), signal.SIGTERM)

    Thread(target=read, daemon=True).start()
    return lines


def main() -> int:
    """Trains until stdin ends or a signal comes."""
    outcomes = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever prints, prints to stderr: stdout is for outcomes alone
    round_robin = RoundRobin()
    # patient: a signal, and then the end of stdin
    with suppress(Interrupted), stop_on_signal(patient=True) as request:
        lines = _read_stdin()
        while request.signum is None or round_robin.in_flight:
            with suppress(Empty):
                while request.signum is None:
                    idle = not round_robin.in_flight
                    given = json.loads(lines.get(block=idle, timeout=_IDLE_SECONDS))
                    run = run_from_plain(given["run"])
                    console = _LogConsole(str(run.folder))
                    steps = train_steps(run, context=Context(), console=console, stop=request)
                    round_robin.add(given["number"], steps)
            for number, outcome in round_robin.round():
                with suppress(BrokenPipeError):
                    line = {"number": number, **dataclasses.asdict(outcome)}
                    outcomes.write(json.dumps(line) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

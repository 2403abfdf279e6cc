"""A worker process of hydra/launcher=local: `python -m resnet_cli.sweeps.process`.

Its stdin brings runs, a JSON line each, and its stdout tells how each ended, a JSON line each; several in flight take turns. The end
of stdin means stop: runs in flight save first. So it also ends, and leaves no orphan, when the parent is killed.
"""

import dataclasses
import json
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread

from resnet_cli import worker
from resnet_cli.console import Console, figures
from resnet_cli.signals import StopRequest, stop_on_signal
from resnet_cli.sweeps.outcomes import run_from_plain
from resnet_cli.sweeps.turns import Turns

PATIENCE = 0.2  # seconds between looks while nothing is to do


class LogConsole(Console):
    """Speaks to log.txt alone; the parent shows the progress of all. Warnings go to the parent as well."""

    def say(self, text: str = "") -> None:
        self.record(text)

    def warn(self, text: str) -> None:
        with suppress(OSError):  # the parent may be gone, and the run still has to save
            super().warn(text)

    def show(self, values: Mapping[str, float]) -> None:
        self.shown |= values
        self.record(f"{self.iteration:,}/{self.iterations:,} {figures(self.shown)}")


def listen(request: StopRequest) -> SimpleQueue[str]:
    """The lines of stdin, as they come. Its end asks to stop."""
    inbox: SimpleQueue[str] = SimpleQueue()

    def read() -> None:
        with open(0, closefd=False) as lines:  # not sys.stdin: forked loader workers close that, and would wait for its lock for ever
            for line in lines:
                inbox.put(line)
        if request.signum is None:
            request.signum = signal.SIGTERM

    Thread(target=read, daemon=True).start()
    return inbox


def main() -> int:
    """Trains until stdin ends or a signal comes."""
    told = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever prints, prints to stderr: stdout is for outcomes alone
    turns = Turns()
    with stop_on_signal() as request:
        inbox = listen(request)
        while request.signum is None or turns.flying:
            with suppress(Empty):
                while request.signum is None:
                    given = json.loads(inbox.get(block=not turns.flying, timeout=PATIENCE))
                    run = run_from_plain(given["run"])
                    steps = worker.steps(run.config, run.folder, command=run.command, console=LogConsole(str(run.folder)), request=request)
                    turns.add(given["number"], steps)
            for number, outcome in turns.round():
                with suppress(BrokenPipeError):
                    told.write(json.dumps({"number": number, **dataclasses.asdict(outcome)}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Several runs in one process: they take round_robin, a training step each."""

import dataclasses
import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread

import torch

from resnet_cli.launch.jobs import Outcome, ended_by
from resnet_cli.run.result import headline
from resnet_cli.run.run import Steps, run_from_plain, train_steps
from resnet_cli.runtime.console import Console, format_metrics
from resnet_cli.runtime.distributed import Context
from resnet_cli.runtime.errors import Stopped
from resnet_cli.runtime.signals import StopRequest, stop_on_signal


class RoundRobin:
    """The runs in flight.

    Each has a CUDA stream of its own, so that the device may work on one while the host feeds
    another.
    """

    def __init__(self) -> None:
        self.in_flight: dict[int, tuple[Steps, torch.cuda.Stream | None]] = {}

    def add(self, number: int, steps: Steps) -> None:
        self.in_flight[number] = steps, torch.cuda.Stream() if torch.cuda.is_available() else None

    def round(self) -> Iterator[tuple[int, Outcome]]:
        """A step of every run; yields those that ended with it. One that breaks ends alone."""
        for number, (steps, stream) in list(self.in_flight.items()):
            try:
                with torch.cuda.stream(stream):  # does nothing for None
                    next(steps)
                continue
            except StopIteration as end:
                outcome = Outcome(headline(end.value))
            except Stopped as stopped:
                outcome = Outcome(str(stopped), stopped.exit_code)
            except Exception as error:
                # the device is lost to this process, and all its runs with it: a new one takes over
                if "CUDA error" in str(error):
                    raise
                outcome = ended_by(error)
            del self.in_flight[number]
            yield number, outcome


PATIENCE = 0.2  # seconds between looks while nothing is to do


class LogConsole(Console):
    """Speaks to log.txt alone; the parent shows the progress of all.

    Warnings go to the parent as well.
    """

    def say(self, text: str = "") -> None:
        self.record(text)

    def warn(self, text: str) -> None:
        with suppress(OSError):  # the parent may be gone, and the run still has to save
            super().warn(text)

    def show(self, values: Mapping[str, float]) -> None:
        self.shown |= values
        self.record(f"{self.iteration:,}/{self.iterations:,} {format_metrics(self.shown)}")


def listen(request: StopRequest) -> SimpleQueue[str]:
    """The lines of stdin, as they come. Its end asks to stop."""
    inbox: SimpleQueue[str] = SimpleQueue()

    def read() -> None:
        # not sys.stdin: forked loader workers close that, and would wait for its lock for ever
        with open(0, closefd=False) as lines:
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
    round_robin = RoundRobin()
    with stop_on_signal() as request:
        inbox = listen(request)
        while request.signum is None or round_robin.in_flight:
            with suppress(Empty):
                while request.signum is None:
                    given = json.loads(inbox.get(block=not round_robin.in_flight, timeout=PATIENCE))
                    run = run_from_plain(given["run"])
                    steps = train_steps(
                        run, context=Context(), console=LogConsole(str(run.folder)), stop=request
                    )
                    round_robin.add(given["number"], steps)
            for number, outcome in round_robin.round():
                with suppress(BrokenPipeError):
                    told.write(json.dumps({"number": number, **dataclasses.asdict(outcome)}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

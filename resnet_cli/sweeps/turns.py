"""Several runs in one process: they take turns, a training step each."""

from collections.abc import Generator, Iterator
from typing import Any

import torch

from resnet_cli.errors import Stopped
from resnet_cli.summary import headline
from resnet_cli.sweeps.outcomes import Outcome, ended_by

Steps = Generator[None, None, dict[str, Any]]  # what `worker.steps` makes


class Turns:
    """The runs in flight. Each has a CUDA stream of its own, so that the device may work on one while the host feeds another."""

    def __init__(self) -> None:
        self.flying: dict[int, tuple[Steps, torch.cuda.Stream | None]] = {}

    def add(self, number: int, steps: Steps) -> None:
        self.flying[number] = steps, torch.cuda.Stream() if torch.cuda.is_available() else None

    def round(self) -> Iterator[tuple[int, Outcome]]:
        """A step of every run; yields those that ended with it. One that breaks ends alone."""
        for number, (steps, stream) in list(self.flying.items()):
            try:
                with torch.cuda.stream(stream):  # does nothing for None
                    next(steps)
                continue
            except StopIteration as end:
                outcome = Outcome(headline(end.value))
            except Stopped as stopped:
                outcome = Outcome(str(stopped), stopped.exit_code)
            except Exception as error:
                if "CUDA error" in str(error):  # the device is lost to this process, and all its runs with it: a new one takes over
                    raise
                outcome = ended_by(error)
            del self.flying[number]
            yield number, outcome

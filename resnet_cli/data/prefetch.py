"""Worker processes that prepare the next batches ahead of time."""

import atexit
import multiprocessing
import signal
import warnings
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from resnet_cli.runtime.errors import DataError


def prefetch(
    dataset: Dataset[Any], numbers: Any, *, workers: int, device: torch.device
) -> Generator[Any]:
    """Yields `dataset[number]` for each number, in order, made ahead by `workers` processes.

    `workers=0` makes them in this process. Raises a DataError that `dataset` raises.
    """
    # more workers than cores are the user's choice
    warnings.filterwarnings("ignore", message="This DataLoader will create")
    loader = DataLoader(
        _ReturnDataErrors(dataset),
        batch_size=None,
        sampler=numbers,
        num_workers=workers,
        collate_fn=_identity,
        pin_memory=device.type == "cuda",
        worker_init_fn=_ignore_signals,
    )
    for item in loader:
        if isinstance(item, DataError):
            raise item
        yield item


@dataclass(frozen=True)
class _ReturnDataErrors(Dataset[Any]):
    """Returns a DataError instead of raising it in the worker.

    PyTorch would put its traceback into the message and keep the workers alive in a cycle.
    """

    dataset: Dataset[Any]

    def __getitem__(self, number: int) -> Any:
        try:
            return self.dataset[number]
        except DataError as error:
            return error.with_traceback(None)


def _identity(value: Any) -> Any:
    return value


def _ignore_signals(_: int) -> None:
    """Leaves signals, which may reach the whole process group, to the parent process."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(signum, signal.SIG_IGN)


@atexit.register
def _kill_workers() -> None:
    """Kills workers that are still running when the interpreter exits.

    Python would send SIGTERM, which they ignore, and wait forever.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # else PyTorch reports an error
    for child in multiprocessing.active_children():
        if child.daemon:
            child.kill()

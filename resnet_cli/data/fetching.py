"""Worker processes that make what is needed next, and their end."""

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


def fetch(
    dataset: Dataset[Any], numbers: Any, *, workers: int, device: torch.device
) -> Generator[Any]:
    """`dataset[number]` for each number, in order, made ahead by worker processes.

    Raises DataError where nothing can be decoded.
    """
    # more workers than cores: the user's to choose
    warnings.filterwarnings("ignore", message="This DataLoader will create")
    loader = DataLoader(
        Telling(dataset),
        batch_size=None,
        sampler=numbers,
        num_workers=workers,
        collate_fn=as_it_is,
        pin_memory=device.type == "cuda",
        worker_init_fn=leave_signals_to_the_parent,
    )
    for item in loader:
        if isinstance(item, DataError):
            raise item
        yield item


@dataclass(frozen=True)
class Telling(Dataset[Any]):
    """Hands a DataError over instead of raising it: PyTorch would pack its traceback into the
    message and keep the workers in a cycle.
    """

    dataset: Dataset[Any]

    def __getitem__(self, number: int) -> Any:
        try:
            return self.dataset[number]
        except DataError as error:
            return error.with_traceback(None)


def as_it_is(value: Any) -> Any:
    return value


def leave_signals_to_the_parent(_: int) -> None:
    """A signal may reach the whole process group; the trainer decides what it means, and its
    end is theirs.
    """
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(signum, signal.SIG_IGN)


@atexit.register
def end_workers() -> None:
    """Ends workers somebody still holds.

    Python would ask them by SIGTERM, which they leave to the parent, and wait for ever.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # PyTorch would report their death as an error
    for child in multiprocessing.active_children():
        if child.daemon:
            child.kill()

"""Worker processes that prepare the next batches ahead of time."""

import atexit
import math
import multiprocessing
import os
import pickle
import signal
import sys
import traceback
import warnings
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import torch
from torch._C import _remove_worker_pids
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.dataloader import _BaseDataLoaderIter

from resnet_cli.runtime.errors import DataError, Failed
from resnet_cli.runtime.signals import STOPPING

_SHARED_MEMORY = "/dev/shm"
_AHEAD = 2  # items that each worker has ready
_SILENT_FOR = (
    600.0  # seconds until workers that send nothing are given up: a disk may hang for ever
)
_SHARE = 4  # times as much room as one process needs: others of the machine want some, too


def prefetch(
    dataset: Dataset[Any], numbers: Any, *, workers: int, device: torch.device
) -> Generator[Any]:
    """Yields `dataset[number]` for each number, in order, made ahead by `workers` processes.

    `workers=0` makes them in this process. Raises a DataError that `dataset` raises, Failed where
    the machine has no room for the processes, and PyTorch's RuntimeError where they die or hang.
    """
    # more workers than cores are the user's choice
    warnings.filterwarnings("ignore", message="This DataLoader will create")
    loader = DataLoader(
        _Sent(dataset, room_for=_SHARE * _AHEAD * workers),
        batch_size=None,
        sampler=numbers,
        num_workers=workers,
        prefetch_factor=_AHEAD if workers else None,
        timeout=_SILENT_FOR if workers else 0,
        collate_fn=_identity,
        pin_memory=device.type == "cuda",
        worker_init_fn=_prepare_worker,
    )
    # The iterator has no name: the frame of an error that is kept would keep it and its workers.
    try:
        for item in _started(loader):
            if isinstance(item, DataError):
                raise item
            yield pickle.loads(item) if isinstance(item, bytes) else item
    except RuntimeError as error:
        _end_workers(error)
        raise
    except (ConnectionError, EOFError, FileNotFoundError) as error:
        if not workers:
            raise
        _end_workers(error)  # it died between sending an item and handing over its memory
        raise RuntimeError(f"DataLoader worker: {error}") from error


def _started(loader: DataLoader[Any]) -> Iterator[Any]:
    """The loader's items, its workers started. Raises Failed where there is no room for them."""
    try:
        return iter(loader)
    except OSError as error:  # semaphores live in shared memory, and each worker has pipes
        _end_workers(error)
        raise Failed(
            f"cannot start dataset.workers={loader.num_workers} loader processes: "
            f"{error.strerror}; dataset.workers=0 uses none (is {_SHARED_MEMORY} there, and what "
            "does ulimit -n -u say?)"
        ) from error


@dataclass(frozen=True)
class _Sent(Dataset[Any]):
    """The items as a worker sends them.

    Tensors go through shared memory, where `room_for` items like this one fit in: in a container it
    may be tiny, and PyTorch's worker would then lose the item and leave the parent waiting for
    ever. Otherwise an item goes as bytes, through the pipe.

    A DataError is returned: PyTorch would put its traceback into the message and keep the workers
    alive in a cycle.
    """

    dataset: Dataset[Any]
    room_for: int  # 0: in this process

    def __getitem__(self, number: int) -> Any:
        try:
            item = self.dataset[number]
        except DataError as error:
            return error.with_traceback(None)
        fits = self.room_for * _tensor_bytes(item) <= _free_shared_memory()
        return item if fits else pickle.dumps(item)


def _tensor_bytes(item: Any) -> int:
    if isinstance(item, torch.Tensor):
        return item.nbytes
    return sum(map(_tensor_bytes, item)) if isinstance(item, list | tuple) else 0


def _free_shared_memory() -> float:
    """Bytes; 0 without any. Elsewhere than on Linux it is no file system that could be full."""
    try:
        there = os.statvfs(_SHARED_MEMORY)
    except OSError:
        return 0 if sys.platform == "linux" else math.inf
    return there.f_bavail * there.f_frsize


def _end_workers(error: Exception) -> None:
    """Ends what PyTorch's iterator had started.

    Its own way out waits seconds for each that hangs, or prints a traceback.
    """
    for frame, _ in traceback.walk_tb(error.__traceback__):
        iterator = frame.f_locals.get("self")
        if isinstance(iterator, _BaseDataLoaderIter):
            iterator._shutdown = True  # type: ignore[attr-defined]
            if getattr(iterator, "_worker_pids_set", False):  # else each is reported as lost
                _remove_worker_pids(id(iterator))
                iterator._worker_pids_set = False  # type: ignore[attr-defined]
            for worker in getattr(iterator, "_workers", []):
                worker.kill()


def _identity(value: Any) -> Any:
    return value


def _prepare_worker(_: int) -> None:
    """Leaves signals, which may reach the whole process group, to the parent process."""
    for signum in STOPPING:
        signal.signal(signum, signal.SIG_IGN)
    sys.excepthook = tell_unless_parent_left


def tell_unless_parent_left(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """A worker's `sys.excepthook`: a parent that ends while it takes over an item's memory leaves
    multiprocessing's thread with half a handshake, of which it would print a traceback.
    """
    if not isinstance(error, ConnectionError | EOFError):
        sys.__excepthook__(kind, error, trace)


@atexit.register
def _kill_workers() -> None:
    """Kills workers that are still running when the interpreter exits.

    Python would send SIGTERM, which they ignore, and wait forever.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # else PyTorch reports an error
    for child in multiprocessing.active_children():
        if child.daemon:
            child.kill()

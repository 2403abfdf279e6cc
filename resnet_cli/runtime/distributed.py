"""Distributed training: the ranks, which the environment names, and what they exchange.

torchrun, `resnet-train devices=N` and srun set the environment.
"""

import gc
import importlib
import os
import platform
import socket
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from resnet_cli.runtime.device import gpu_number
from resnet_cli.runtime.errors import Failed, Stopped, UserError
from resnet_cli.runtime.ranks import RankInfo, rank_from_env

# Seconds that NCCL waits longer than gloo: its watchdog kills the process without a word, gloo
# raises an error.
_NCCL_GRACE = 60
# Steps between two checks for a signal; less often on a GPU, where the host runs ahead.
SIGNAL_CHECK_EVERY = {"cpu": 1, "cuda": 10, "mps": 1}


@dataclass(frozen=True, kw_only=True)
class Context:
    """This process among the ranks.

    Its methods are collective: all ranks must call them, or none.
    """

    rank: int = 0
    world: int = 1
    local_rank: int = 0
    sharing: int = 1  # ranks that share the CPU cores of this one, itself included
    control: distributed.ProcessGroup | None = None  # gloo, for agreements between hosts

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes the run folder and prints."""
        return self.rank == 0

    @property
    def part(self) -> tuple[int, int]:
        """Rank and world size, which determine the share of the work of this process."""
        return self.rank, self.world

    def replicate(self, network: nn.Module) -> nn.Module:
        """Wraps a network so that its gradients are averaged over the ranks.

        The exchange overlaps with the backward pass.
        """
        if self.world == 1:
            return network
        torch._dynamo.config.optimize_ddp = False  # it would split the graph at every bucket
        # its replacement is newer than the oldest PyTorch that we support
        warnings.filterwarnings("ignore", message=".*broadcast_buffers.* is deprecated")
        # BN's running averages are those of the first rank. They are broadcast when they are read,
        # not at every step.
        return DistributedDataParallel(
            network, static_graph=True, gradient_as_bucket_view=True, broadcast_buffers=False
        )

    def start_all_reduce_max(self, value: Tensor) -> Callable[[], object]:
        """Begins to replace `value` by the largest over all ranks in place.

        Whoever reads it first calls what is returned: on a GPU this orders the reading after the
        exchange, without waiting for either.
        """
        if self.world == 1:
            return lambda: None
        work = distributed.all_reduce(value, distributed.ReduceOp.MAX, async_op=True)
        return work.wait

    def gather(self, value: Tensor) -> Tensor:
        """Stacks the `value` of every rank: [...] -> [world, ...]."""
        if self.world == 1:
            return value[None]
        values = [torch.empty_like(value) for _ in range(self.world)]
        distributed.all_gather(values, value)
        return torch.stack(values)

    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        """Replaces tensors by those of the first rank, in place."""
        if self.world > 1:
            for tensor in tensors:
                distributed.broadcast(tensor, 0)

    def broadcast_object(self, value: Any) -> Any:
        """The `value` of the first rank: plain values and tensors on the CPU."""
        if self.world == 1:
            return value
        values = [value]
        distributed.broadcast_object_list(values, 0, device=torch.device("cpu"))
        return values[0]

    def gather_union(self, lines: list[str]) -> list[str]:
        """The lines of all ranks without repetitions, ordered by rank."""
        if self.world == 1:
            return lines
        gathered: list[list[str]] = [[] for _ in range(self.world)]
        distributed.all_gather_object(gathered, lines)
        return list(dict.fromkeys(line for one in gathered for line in one))

    def max_or_none(self, number: int | None) -> int | None:
        """The largest number of any rank, or None if no rank has one.

        This is how all ranks learn of a signal that has reached one of them.
        """
        if self.world == 1:
            return number
        # on the CPU and over gloo: does not wait for the device
        largest = torch.tensor(-1 if number is None else number)
        distributed.all_reduce(largest, distributed.ReduceOp.MAX, group=self.control)
        return None if largest < 0 else int(largest)


@contextmanager
def process_group(device: torch.device, *, timeout: float) -> Iterator[Context]:
    """Joins the other ranks, if this process was started as one of several.

    `timeout`: seconds that a rank waits for the others. Raises UserError if they cannot meet.
    """
    info = rank_from_env()
    if info is None:
        yield Context()
        return
    # SGD wakes the compiler. Woken among ranks, it would take the group of all as the default of
    # functions, and nothing could end that group's threads any more.
    importlib.import_module("torch._dynamo")
    if device.type == "cuda":
        torch.cuda.set_device(gpu_number(info.local_rank))
    _await_main(info, timeout=timeout)
    _init_process_group(info, device, timeout=timeout + _NCCL_GRACE)
    control = distributed.new_group(backend="gloo", timeout=timedelta(seconds=timeout))
    assert isinstance(control, distributed.ProcessGroup)
    cores: list[Any] = [None] * info.world
    distributed.all_gather_object(cores, _own_cores())
    stopped = None
    try:
        yield Context(
            rank=info.rank,
            world=info.world,
            local_rank=info.local_rank,
            sharing=cores.count(cores[info.rank]),
            control=control,
        )
    except Stopped as error:
        stopped = error
    # Not after another error: the other ranks may not get here, and the process ends anyway.
    _leave()
    if stopped:
        raise stopped


def _leave() -> None:
    """Ends what all ranks exchange over, and its threads.

    destroy_process_group alone lets the replicated network, which lies in a reference cycle, keep
    the groups until Python ends. A thread of gloo that then still lets go of a tensor wants the
    interpreter, and the process aborts.
    """
    # the last to let go, as deleting it waits for the threads without keeping the interpreter
    world = distributed.group.WORLD
    distributed.destroy_process_group()
    gc.collect()
    del world


def _own_cores() -> tuple[str, list[int]]:
    """This machine, and the cores of it that this process may use.

    srun may give each rank its own cores; torchrun gives all cores to all ranks.
    """
    has_affinity = hasattr(os, "sched_getaffinity")  # not on a Mac
    return platform.node(), sorted(os.sched_getaffinity(0)) if has_affinity else []


def _init_process_group(info: RankInfo, device: torch.device, *, timeout: float) -> None:
    """Initializes NCCL for tensors on GPUs, gloo for those on the CPU."""
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    try:
        distributed.init_process_group(
            backend, rank=info.rank, world_size=info.world, timeout=timedelta(seconds=timeout)
        )
    except distributed.DistNetworkError as error:
        if "EADDRINUSE" in str(error) or "address already in use" in str(error):
            raise UserError(
                f"port {info.port} of {info.address} is in use: set MASTER_PORT to a free one"
            ) from error
        raise


def _await_main(info: RankInfo, *, timeout: float) -> None:
    """Waits until the first rank listens: PyTorch would print frames of C++ where it never does.

    Raises Failed after `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while info.rank:
        try:
            socket.create_connection((info.address, info.port), timeout=timeout).close()
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise Failed(
                    f"rank {info.rank} of {info.world} found nobody at {info.address}:{info.port} "
                    f"within timeout={timeout:g} s ({error.strerror or error}): did rank 0 start, "
                    "and is MASTER_ADDR right?"
                ) from error
        time.sleep(min(0.5, timeout))

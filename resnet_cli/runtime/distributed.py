"""What the processes of one run exchange."""

import os
import platform
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from resnet_cli.runtime.errors import Stopped, UserError
from resnet_cli.runtime.ranks import RankInfo, rank_from_env

# seconds that NCCL waits longer than gloo: its watchdog kills the process, gloo tells what is the
# matter
GRACE = 60
# steps between two looks for a signal: on a GPU the host runs ahead and looks less often
STOP_LOOK = {"cpu": 1, "cuda": 10}


@dataclass(frozen=True, kw_only=True)
class Context:
    """Which of the processes this is.

    The methods are for all ranks together: each one calls, or none.
    """

    rank: int = 0
    world: int = 1
    local_rank: int = 0
    sharing: int = 1  # ranks that share this one's CPU cores, itself among them
    control: distributed.ProcessGroup | None = None  # gloo, for what the hosts agree on

    @property
    def is_main(self) -> bool:
        """Whether this is the one process that writes the run folder and speaks."""
        return self.rank == 0

    @property
    def part(self) -> tuple[int, int]:
        """Which part of the work is this one's: the how-manieth of how many."""
        return self.rank, self.world

    def replicate(self, network: nn.Module) -> nn.Module:
        """The network whose gradients are averaged over the ranks, the exchange hidden behind
        the backward pass.
        """
        if self.world == 1:
            return network
        torch._dynamo.config.optimize_ddp = False  # it would cut the compiled graph at every bucket
        warnings.filterwarnings(
            "ignore", message=".*broadcast_buffers.* is deprecated"
        )  # its heir is younger than the oldest torch we take
        # BN's running averages are the first rank's; they are sent around when somebody reads them,
        # not at every step.
        return DistributedDataParallel(
            network, static_graph=True, gradient_as_bucket_view=True, broadcast_buffers=False
        )

    def all_reduce_max(self, value: Tensor) -> None:
        """Replaces `value` by the largest of all ranks, in place; nothing waits for the device."""
        if self.world > 1:
            distributed.all_reduce(value, distributed.ReduceOp.MAX)

    def gather(self, value: Tensor) -> Tensor:
        """The `value` of every rank: [...] -> [world, ...]."""
        if self.world == 1:
            return value[None]
        every = [torch.empty_like(value) for _ in range(self.world)]
        distributed.all_gather(every, value)
        return torch.stack(every)

    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        """Replaces the tensors by the first rank's, in place."""
        if self.world > 1:
            for tensor in tensors:
                distributed.broadcast(tensor, 0)

    def broadcast_object(self, value: Any) -> Any:
        """The first rank's `value`: plain values and tensors on the CPU."""
        if self.world == 1:
            return value
        parcel = [value]
        distributed.broadcast_object_list(parcel, 0, device=torch.device("cpu"))
        return parcel[0]

    def gather_union(self, lines: list[str]) -> list[str]:
        """What any rank has in its list, each once, rank by rank."""
        if self.world == 1:
            return lines
        every: list[list[str]] = [[] for _ in range(self.world)]
        distributed.all_gather_object(every, lines)
        return list(dict.fromkeys(line for one in every for line in one))

    def max_or_none(self, number: int | None) -> int | None:
        """The largest number some rank has, or None: how a signal that reached one becomes
        known to all.
        """
        if self.world == 1:
            return number
        # on the CPU: over gloo, past the device's queue
        said = torch.tensor(-1 if number is None else number)
        distributed.all_reduce(said, distributed.ReduceOp.MAX, group=self.control)
        return None if said < 0 else int(said)


@contextmanager
def process_group(device: torch.device, *, timeout: float) -> Iterator[Context]:
    """Meets the other ranks, if this process was started as one of several: by resnet-train
    devices=N, torchrun or srun.

    `timeout`: seconds that a rank waits for the others. Raises UserError where they cannot meet.
    """
    here = rank_from_env()
    if here is None:
        yield Context()
        return
    if device.type == "cuda":
        torch.cuda.set_device(here.local_rank)
    init_process_group(here, device, timeout=timeout + GRACE)
    control = distributed.new_group(backend="gloo", timeout=timedelta(seconds=timeout))
    assert isinstance(control, distributed.ProcessGroup)
    cores: list[Any] = [None] * here.world
    distributed.all_gather_object(cores, own_cores())
    stopped = None
    try:
        yield Context(
            rank=here.rank,
            world=here.world,
            local_rank=here.local_rank,
            sharing=cores.count(cores[here.rank]),
            control=control,
        )
    except Stopped as agreed:
        stopped = agreed
    # not after an error: the others may not come, and the process ends anyway
    distributed.destroy_process_group()
    if stopped:
        raise stopped


def own_cores() -> tuple[str, list[int]]:
    """This machine, and which of its cores this process may use: srun may give each rank its
    own, torchrun gives all to all.
    """
    return platform.node(), sorted(os.sched_getaffinity(0)) if hasattr(
        os, "sched_getaffinity"
    ) else []


def init_process_group(here: RankInfo, device: torch.device, *, timeout: float) -> None:
    """NCCL for tensors on GPUs, gloo for those on the CPU."""
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    try:
        distributed.init_process_group(
            backend, rank=here.rank, world_size=here.world, timeout=timedelta(seconds=timeout)
        )
    except distributed.DistNetworkError as error:
        if "EADDRINUSE" in str(error) or "address already in use" in str(error):
            raise UserError(
                f"port {here.port} of {here.address} is taken: set MASTER_PORT to a free one"
            ) from error
        raise

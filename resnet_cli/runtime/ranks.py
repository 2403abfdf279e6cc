"""How a process learns that it is one of several.

torchrun, `resnet-train devices=N` and srun say so in the environment. PyTorch is not needed to read
it, so that a command line is checked quickly.
"""

import os
import re
from collections.abc import MutableMapping
from dataclasses import dataclass

from resnet_cli.runtime.errors import UserError

_PORT = 29500  # where the ranks meet, unless MASTER_PORT says otherwise: PyTorch's own choice


@dataclass(frozen=True, kw_only=True)
class RankInfo:
    """A rank of a world, and where all of them meet."""

    rank: int
    world: int
    local_rank: int
    address: str
    port: int


def rank_from_env(environment: MutableMapping[str, str] = os.environ) -> RankInfo | None:
    """Which rank this process is, or None where it runs alone.

    srun's variables are translated to torchrun's, which PyTorch reads. Raises UserError where the
    environment does not add up.
    """
    # in a step, not in sbatch's own script
    if "RANK" not in environment and int(environment.get("SLURM_STEP_NUM_TASKS", "1")) > 1:
        environment.update(_from_slurm(environment))
    if "RANK" not in environment:
        return None
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_PORT")
    if missing := [name for name in (*names, "MASTER_ADDR") if name not in environment]:
        raise UserError(
            f"RANK is set, but {', '.join(missing)} is not: start the processes with torchrun or "
            "srun, or unset RANK"
        )
    try:
        rank, world, local_rank, port = (int(environment[name]) for name in names)
    except ValueError as error:
        raise UserError(f"{', '.join(names)} must be numbers: {error}") from error
    address = environment["MASTER_ADDR"]
    return RankInfo(rank=rank, world=world, local_rank=local_rank, address=address, port=port)


def _from_slurm(environment: MutableMapping[str, str]) -> dict[str, str]:
    """torchrun's variables from those of a SLURM step; the ranks meet on its first node."""
    nodes = environment.get("SLURM_STEP_NODELIST", "localhost")
    job = int(environment.get("SLURM_JOB_ID", "0"))  # two jobs on one node must not meet each other
    return {
        "RANK": environment["SLURM_PROCID"],
        "WORLD_SIZE": environment["SLURM_STEP_NUM_TASKS"],
        "LOCAL_RANK": environment["SLURM_LOCALID"],
        "MASTER_ADDR": environment.get("MASTER_ADDR", _first_node(nodes)),
        "MASTER_PORT": environment.get("MASTER_PORT", str(_PORT + job % 10_000)),
    }


def _first_node(nodes: str) -> str:
    """`gpu[07-09,12],big1` -> `gpu07`."""
    return re.sub(r"\[([^],-]+)[^]]*\]", r"\1", re.split(r",(?![^[]*\])", nodes)[0])

"""What torchrun and srun say in the environment."""

import pytest

from resnet_cli.runtime.errors import UserError
from resnet_cli.runtime.ranks import RankInfo, rank_from_env

STEP = {"SLURM_STEP_NUM_TASKS": "8", "SLURM_PROCID": "5", "SLURM_LOCALID": "1", "SLURM_NODEID": "1"}
STEP |= {"SLURM_STEP_NODELIST": "gpu[07-08]", "SLURM_JOB_ID": "1230042"}


def test_alone_where_nobody_says_otherwise() -> None:
    assert rank_from_env({}) is None
    # sbatch's own script, before any srun
    assert rank_from_env({"SLURM_PROCID": "0", "SLURM_NTASKS": "8"}) is None


def test_a_step_of_srun_is_torchruns_environment() -> None:
    environment = dict(STEP)
    assert rank_from_env(environment) == RankInfo(
        rank=5, world=8, local_rank=1, address="gpu07", port=29542
    )
    # which PyTorch reads
    assert environment["RANK"] == "5" and environment["MASTER_ADDR"] == "gpu07"
    assert rank_from_env(STEP | {"MASTER_ADDR": "here", "MASTER_PORT": "1234"}) == RankInfo(
        rank=5, world=8, local_rank=1, address="here", port=1234
    )


@pytest.mark.parametrize(
    ("nodes", "first"),
    [("a1", "a1"), ("a1,b2", "a1"), ("gpu[07-09,12],big1", "gpu07"), ("n[3,5]-x,z", "n3-x")],
)
def test_the_first_node(nodes: str, first: str) -> None:
    here = rank_from_env(STEP | {"SLURM_STEP_NODELIST": nodes})
    assert here and here.address == first


def test_half_an_environment_is_told() -> None:
    with pytest.raises(UserError, match="WORLD_SIZE, LOCAL_RANK"):
        rank_from_env({"RANK": "0"})
    with pytest.raises(UserError, match="must be numbers"):
        rank_from_env(
            dict.fromkeys(("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_PORT", "MASTER_ADDR"), "x")
        )

"""What torchrun and srun say in the environment."""

import pytest

from resnet_cli.distributed.environment import Place, first_node, place, tasks_here
from resnet_cli.errors import UserError

STEP = {"SLURM_STEP_NUM_TASKS": "8", "SLURM_PROCID": "5", "SLURM_LOCALID": "1", "SLURM_NODEID": "1"}
STEP |= {"SLURM_STEP_NODELIST": "gpu[07-08]", "SLURM_STEP_TASKS_PER_NODE": "4(x2)"}


def test_alone_where_nobody_says_otherwise() -> None:
    assert place({}) is None
    assert place({"SLURM_PROCID": "0", "SLURM_NTASKS": "8"}) is None  # sbatch's own script, before any srun


def test_a_step_of_srun_is_torchruns_environment() -> None:
    environment = dict(STEP)
    assert place(environment) == Place(5, 8, 1, 4, "gpu07", 29500)
    assert environment["RANK"] == "5" and environment["MASTER_ADDR"] == "gpu07"  # which PyTorch reads
    assert place(STEP | {"MASTER_ADDR": "here", "MASTER_PORT": "1234"}) == Place(5, 8, 1, 4, "here", 1234)


@pytest.mark.parametrize(("nodes", "first"), [("a1", "a1"), ("a1,b2", "a1"), ("gpu[07-09,12],big1", "gpu07"), ("n[3,5]-x,z", "n3-x")])
def test_the_first_node(nodes: str, first: str) -> None:
    assert first_node(nodes) == first


def test_tasks_of_a_node() -> None:
    assert [tasks_here("4(x2),1", node=node) for node in range(3)] == [4, 4, 1]


def test_half_an_environment_is_told() -> None:
    with pytest.raises(UserError, match="WORLD_SIZE, LOCAL_RANK"):
        place({"RANK": "0"})
    with pytest.raises(UserError, match="must be numbers"):
        place(dict.fromkeys(("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_PORT", "MASTER_ADDR"), "x"))

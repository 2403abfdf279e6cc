"""What torchrun and srun say in the environment."""

import socket
from pathlib import Path

import pytest
import torch

from resnet_cli.launch import rank
from resnet_cli.runtime import distributed
from resnet_cli.runtime.choices import DeviceChoice
from resnet_cli.runtime.device import choose_device
from resnet_cli.runtime.errors import Lost, UserError
from resnet_cli.runtime.ranks import RankInfo, rank_from_env
from tests.helpers.commands import TINY, Outcome, check_refused
from tests.helpers.processes import spawn

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


WHOLE = {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "MASTER_PORT": "29500"}
WHOLE |= {"MASTER_ADDR": "localhost"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"RANK": "x"},
        {"RANK": "2"},
        {"RANK": "-1"},
        {"WORLD_SIZE": "0"},
        {"WORLD_SIZE": ""},
        {"LOCAL_RANK": "2"},
        {"MASTER_PORT": "0"},
        {"MASTER_PORT": "65536"},
        {"RANK": "9" * 5000},
    ],
)
def test_a_broken_environment_is_told(wrong: dict[str, str]) -> None:
    assert rank_from_env(dict(WHOLE))
    with pytest.raises(UserError, match=next(iter(wrong))):
        rank_from_env(WHOLE | wrong)


@pytest.mark.parametrize(
    "name", ["SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_JOB_ID"]
)
def test_a_broken_step_of_srun_is_told(name: str) -> None:
    with pytest.raises(UserError, match=name):
        rank_from_env(STEP | {name: "two"})


def test_nobody_there_is_told_within_the_timeout(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    env = WHOLE | {"RANK": "1", "MASTER_PORT": str(port)}
    process = spawn(*TINY, "timeout=2", f"runs={tmp_path}", env=env)
    out, err = process.communicate(timeout=200)
    check_refused(Outcome(process.returncode, out, err), 1, "timeout=2 s", "MASTER_ADDR")


def test_srun_may_show_each_process_its_own_gpu_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same number for the device and for `torch.cuda.set_device`."""
    chosen: list[int] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    for name, value in (WHOLE | {"RANK": "1", "LOCAL_RANK": "1"}).items():
        monkeypatch.setenv(name, value)

    def stop(*_: object, **__: object) -> None:
        raise Lost("far enough", silent=False)

    monkeypatch.setattr(distributed, "_await_main", stop)
    for count, number in ((1, 0), (2, 1)):
        monkeypatch.setattr(torch.cuda, "device_count", lambda count=count: count)
        device = choose_device(DeviceChoice.auto, 1)
        with pytest.raises(Lost), distributed.process_group(device, timeout=1):
            pass
        assert device.index == chosen[-1] == number
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    with pytest.raises(UserError, match="has no GPU"):
        choose_device(DeviceChoice.auto, 3)


@pytest.mark.parametrize(
    "text", ["NCCL error\nLast error:\n", "NCCL error\nLast error: \nNCCL error"]
)
def test_an_empty_last_error_of_nccl(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    explained = rank._explained(torch.distributed.DistBackendError(text), timeout=1)
    assert str(explained) == "rank 1: NCCL error"

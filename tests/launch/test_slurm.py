"""Runs as jobs of a cluster, tried with submitit on this machine."""

import os
from pathlib import Path

import pytest

from resnet_cli.run.run import Run
from tests.helpers.commands import Command, check_refused
from tests.launch.small_sweep import WORDS, assert_equal, planned

pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="needs hydra-submitit-launcher")


def test_jobs_end_as_runs_do_alone(
    command: Command, runs: Path, faults: Path, alone: list[Run]
) -> None:
    """One is told that its time is up and goes on by itself where it was; one is locked and
    reported.
    """
    (faults / "resnet8-A@1").write_text("os.kill(os.getpid(), signal.SIGUSR2)")
    words = [*WORDS, "model=resnet20", f"runs={runs}", "hydra/launcher=submitit_local"]
    some = planned(runs, "model=resnet20")
    with some[1].folder.locked():
        swept = command("resnet-train", "-m", *words)
    assert swept.code == 2
    assert f"seed1: {some[1].folder} is being trained by process {os.getpid()}" in swept.err
    assert "resuming at iteration 8" in some[0].folder.log.read_text()
    assert_equal(some[:1], alone[2:3])
    table = swept.out[swept.out.rindex("2 runs in") :]
    assert (table.count("test error"), table.count("being trained")) == (1, 1)
    assert sorted(path.name for path in runs.iterdir()) == [".submitit", "synthetic"]


def test_a_job_starts_its_processes_itself(command: Command, runs: Path) -> None:
    words = ["-m", *WORDS, f"runs={runs}", "hydra/launcher=submitit_local"]
    check_refused(
        command("resnet-train", *words, "hydra.launcher.tasks_per_node=2"),
        2,
        "tasks_per_node=2",
        "devices=N",
    )
    check_refused(
        command("resnet-train", *words, "devices=auto"), 2, "devices=auto", "say a number"
    )


def test_where_there_is_no_slurm_it_says_so(
    command: Command, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    check_refused(
        command("resnet-train", "-m", *WORDS, f"runs={runs}", "hydra/launcher=submitit_slurm"),
        2,
        "submitit_slurm",
        "srun",
    )

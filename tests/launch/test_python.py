"""What lies in the working folder does not reach the processes that a command starts."""

import subprocess
import sys
from pathlib import Path

import pytest

from resnet_cli.launch.python import module_words
from tests.helpers.commands import TINY

SHORT = [*TINY, "schedule.iterations=2", "eval_every=2", "checkpoint_every=2"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose modules would stand in for others."""
    for name in ("queue", "resnet_cli", "signal", "torch", "typing", "yaml"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong module')\n")
    return tmp_path


def run(folder: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, capture_output=True, text=True, timeout=240
    )
    assert (done.returncode, "wrong module" in done.stderr) == (0, False), done.stderr
    return done.stdout


def test_modules_of_the_working_folder_stay_out(folder: Path) -> None:
    assert "269,722" in run(folder, *module_words("resnet_cli.info"), "resnet20")


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [["-m", "hydra/launcher=local", "seed=0"], ["devices=2"]],
    ids=["a sweep's workers", "ranks"],
)
def test_workers_and_ranks_are_started_so(folder: Path, words: list[str]) -> None:
    run(folder, "-P", "-m", "resnet_cli.train", *SHORT, *words)  # as the installed resnet-train
    assert len([*folder.rglob("result.json")]) == 1

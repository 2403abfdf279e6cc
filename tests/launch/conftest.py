"""Small sweeps, and the same runs one after another to compare with."""

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from resnet_cli.config import compose
from resnet_cli.config.compose import Job
from resnet_cli.launch import sequential
from resnet_cli.run.folder import RunFolder
from resnet_cli.run.run import Run
from tests.conftest import TINY, saved_values
from tests.training.test_resume import assert_same

WORDS = [word for word in TINY if not word.startswith(("model=", "model.depth"))]
WORDS += ["model=plain20,resnet20", "model.depth=8", "seed=0,1"]  # four runs


@cache
def composed(*words: str) -> list[Job]:
    return compose.jobs([*WORDS, *words], multirun=True)[0]


def planned(runs: Path, *words: str) -> list[Run]:
    """The runs of the small sweep, below `runs`."""
    return [
        Run(
            config=replace(job.config, runs=str(runs)),
            folder=RunFolder(runs / job.folder.relative_to("runs")),
            command="resnet-train",
        )
        for job in composed(*words)
    ]


def ended(run: Run) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A run's last checkpoint and log, without what a clock wrote."""
    saved = saved_values(run.folder.checkpoints / "last.pt")
    del saved["progress"]["seconds"]
    saved["progress"]["last"].pop("images_per_second")
    lines = [
        json.loads(line) for line in (run.folder.path / "metrics.jsonl").read_text().splitlines()
    ]
    return saved, [
        {name: value for name, value in line.items() if name != "images_per_second"}
        for line in lines
    ]


def assert_equal(some: Sequence[Run], others: Sequence[Run]) -> None:
    """Bit for bit the same weights, momentum, counters and logs."""
    for one, other in zip(some, others, strict=True):
        assert one.folder.read_result() is not None
        assert_same(ended(one), ended(other), str(one.folder))


@pytest.fixture(scope="session")
def alone(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """The four runs, one after another in this process."""
    runs = planned(tmp_path_factory.mktemp("alone") / "runs")
    assert [outcome.code for outcome in sequential.sweep(runs)] == [0] * 4
    return runs


@pytest.fixture
def faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A script of what happens to worker processes: files `<part of a path>@<save>` that hold
    Python code.

    It is run in the worker once the run whose folder has that part has written that many
    checkpoints.
    """
    folder = tmp_path / "faults"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import os, pathlib, signal, time\n"
        "original, saves = os.fsync, {}\n"
        "def fsync(fd):\n"
        "    original(fd)\n"
        "    path = os.readlink(f'/proc/self/fd/{fd}')\n"
        "    if not path.endswith('last.pt.part'):\n"
        "        return\n"
        "    saves[path] = saves.get(path, 0) + 1\n"
        f"    for script in pathlib.Path({str(folder)!r}).glob('*@*'):\n"
        "        part, _, save = script.name.partition('@')\n"
        "        if part.replace(':', '/') in path and saves[path] == int(save):\n"
        "            code = script.read_text()\n"
        "            script.unlink()\n"
        "            exec(code)\n"
        "os.fsync = fsync\n"
    )
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    return folder

"""The runs of a small sweep one after another, to compare with; and faults in worker processes."""

import os
from pathlib import Path

import pytest

from resnet_cli.launch import sequential
from resnet_cli.run.run import Run
from tests.launch.small_sweep import planned


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

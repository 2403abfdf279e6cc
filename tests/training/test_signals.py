"""Signals while a run trains: saved within seconds, and the same command ends with the bits of a
run left alone.
"""

import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from torch import Tensor

from resnet_cli.data.resident import ResidentLoader
from resnet_cli.evaluation.metrics import ErrorCount
from resnet_cli.runtime.compile import missing_for_compiling
from resnet_cli.training import checkpoint
from tests.helpers.commands import TINY, Command
from tests.helpers.numbers import assert_same
from tests.helpers.processes import PATIENCE, finish, spawn, wait_for
from tests.helpers.runs import ended, folder_of, kill_at


@pytest.mark.parametrize("name", ["SIGHUP", "SIGQUIT", "SIGXCPU"])
def test_it_saves_first(
    command: Command, runs: Path, undisturbed: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with monkeypatch.context() as patched:
        kill_at(patched, 9, signal.Signals[name])
        assert command("resnet-train", *TINY, f"runs={runs}").code == 128 + signal.Signals[name]
    assert command("resnet-train", *TINY, f"runs={runs}").code == 0
    assert_same(ended(runs), ended(undisturbed))


def test_a_closed_terminal(runs: Path) -> None:
    words = [*TINY, "schedule.iterations=100000", "checkpoint_every=100000", "compile=off"]
    words.append(f"runs={runs}")
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-m", "resnet_cli.train", *words])
    deadline = time.monotonic() + PATIENCE
    while not any(one.read_text() for one in runs.rglob("metrics.jsonl")):
        assert time.monotonic() < deadline
        if select.select([terminal], [], [], 0.1)[0]:
            os.read(terminal, 65536)
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 128 + signal.SIGHUP
    assert "ended: stopped at iteration" in (folder_of(runs) / "log.txt").read_text()
    assert checkpoint.load(folder_of(runs) / "checkpoints/last.pt").progress.iteration > 0


@pytest.mark.parametrize("at", [1, 2])  # at iterations 12, and 24, the end
def test_within_an_evaluation(
    command: Command, runs: Path, undisturbed: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """Nothing of it is kept, and all of it done anew, twice."""
    original, count = ErrorCount.add, 0

    def add(self: ErrorCount, scores: Tensor, labels: Tensor) -> None:
        nonlocal count
        count += 1
        if count >= at:
            os.kill(os.getpid(), signal.SIGTERM)
        original(self, scores, labels)

    for _ in range(2):
        with monkeypatch.context() as patched:
            patched.setattr(ErrorCount, "add", add)
            stopped = command("resnet-train", *TINY, f"runs={runs}")
        assert stopped.code == 128 + signal.SIGTERM
        assert f"stopped at iteration {12 * at} of 24" in stopped.err
        log = (folder_of(runs) / "metrics.jsonl").read_text()
        assert f'"iteration": {12 * at},' not in log
    assert command("resnet-train", *TINY, f"runs={runs}").code == 0
    assert_same(ended(runs), ended(undisturbed))


def test_data_that_does_not_come(
    command: Command, runs: Path, undisturbed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system or a loader process that hangs."""
    original = ResidentLoader.draw

    def draw(self: ResidentLoader, iteration: int) -> tuple[Tensor, ...]:
        if iteration == 7:
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()
            time.sleep(60)
        return original(self, iteration)

    began = time.monotonic()
    with monkeypatch.context() as patched:
        patched.setattr(ResidentLoader, "draw", draw)
        stopped = command("resnet-train", *TINY, f"runs={runs}")
    assert stopped.code == 143 and "stopped at iteration 7 of 24" in stopped.err
    assert time.monotonic() - began < 50
    assert command("resnet-train", *TINY, f"runs={runs}").code == 0
    assert_same(ended(runs), ended(undisturbed))


@pytest.mark.slow
@pytest.mark.skipif(
    missing_for_compiling() is not None,
    reason="PyTorch's compiler needs g++ or clang++ and Python.h",
)
def test_ctrl_c_while_compiling_and_a_broken_cache(tmp_path: Path) -> None:
    """It reaches the whole process group, though not the compiler; and libraries that were cut
    short by something else are compiled anew.
    """
    cache = tmp_path / "cache"
    words = [*TINY, "compile=on", "schedule.iterations=4"]
    env = {"TORCHINDUCTOR_CACHE_DIR": str(cache)}
    process = spawn(*words, f"runs={tmp_path / 'cut'}", env=env, start_new_session=True)
    wait_for(lambda: compiling(process.pid))
    os.killpg(process.pid, signal.SIGINT)
    code, _, err = finish(process)
    assert code == 130, err
    assert "stopping as soon as it is compiled\n" in err
    assert "stopped at iteration 1 of 4" in err and err.count("\n") == 2
    code, _, err = finish(spawn(*words, f"runs={tmp_path / 'cut'}", env=env))
    assert (code, err) == (0, "")
    for number, library in enumerate(sorted(cache.rglob("*.so"))):
        size = library.stat().st_size
        os.truncate(library, [0, 100, 5000, size // 2, size - 1][number % 5])
        os.utime(library, (0, 0))
    code, _, err = finish(spawn(*words, f"runs={tmp_path / 'broken'}", env=env))
    assert (code, err) == (0, "")
    assert_same(ended(tmp_path / "broken"), ended(tmp_path / "cut"))


def compiling(group: int) -> bool:
    """Whether a process of the group is g++'s own, or clang++'s."""
    found = subprocess.run(["ps", "-eo", "pgid=,comm="], capture_output=True, text=True).stdout
    return any(
        line.split()[0] == str(group) and line.split()[1] in ("cc1plus", "clang++", "ld", "as")
        for line in found.splitlines()
    )

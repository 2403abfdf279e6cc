"""Runs on two gloo ranks, to be compared and killed."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tests.conftest import TINY, spawn

# A rate at which rounding does not grow: what the comparisons are about is the arithmetic.
RUN = [
    *TINY,
    "precision=fp32",
    "optimizer.lr=0.001",
    "log_every=10",
    "eval_every=25",
    "checkpoint_every=10",
]


def folder_of(runs: Path) -> Path:
    (config,) = runs.rglob("config.yaml")
    return config.parent


def weights(runs: Path) -> dict[str, Any]:
    """What last.pt holds of network and momentum, flat."""
    saved = torch.load(folder_of(runs) / "checkpoints" / "last.pt", weights_only=True)
    momentum = {
        f"momentum {key}": value["momentum_buffer"] for key, value in saved["momentum"].items()
    }
    return saved["network"] | momentum


def figures(runs: Path) -> list[dict[str, float]]:
    """metrics.jsonl without the times."""
    lines = [
        json.loads(line) for line in (folder_of(runs) / "metrics.jsonl").read_text().splitlines()
    ]
    return [
        {key: value for key, value in line.items() if key != "images_per_second"} for line in lines
    ]


def check_same(runs: Path, other: Path) -> None:
    """Bit for bit: weights, momentum, statistics, and every figure that was logged."""
    ours, theirs = weights(runs), weights(other)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert figures(runs) == figures(other)


def wait_for(condition: Callable[[], Any], *, seconds: float = 60) -> Any:
    """What `condition` returns once it is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError("waited in vain")


def ranks_of(parent: int) -> list[int]:
    """The processes of a run's ranks, in the order of their numbers."""
    pids = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(parent)], capture_output=True, text=True
    ).stdout
    found = [int(line.split()[0]) for line in pids.splitlines() if "resnet_cli.launch.rank" in line]
    return sorted(found, key=lambda pid: environment(pid).get("RANK", ""))


def environment(pid: int) -> dict[str, str]:
    words = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return dict(word.split("=", 1) for word in words if "=" in word)


def alive(pid: int) -> bool:
    """Whether a process still runs: a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def has_logged(runs: Path, iteration: int) -> bool:
    files = list(runs.rglob("metrics.jsonl"))
    return bool(files) and f'"iteration": {iteration},' in files[0].read_text()


def start(
    runs: Path, *arguments: object, until: int, env: dict[str, str] | None = None
) -> tuple["subprocess.Popen[str]", list[int]]:
    """A run on two devices that has logged iteration `until`, and its ranks."""
    process = spawn(*RUN, "devices=2", f"runs={runs}", *arguments, env=env)
    try:
        wait_for(lambda: has_logged(runs, until) or process.poll() is not None)
        assert process.poll() is None, process.communicate()
        return process, ranks_of(process.pid)
    except BaseException:
        process.send_signal(signal.SIGKILL)
        raise


def finish(process: "subprocess.Popen[str]", *, seconds: float = 90) -> tuple[int, str, str]:
    """Its exit code, stdout and stderr."""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.kill(process.pid, signal.SIGKILL)
        raise
    return process.returncode, out, err

"""Runs on two gloo ranks, to be compared and killed."""

import signal
import subprocess
from pathlib import Path

from tests.helpers.commands import TINY
from tests.helpers.numbers import assert_same
from tests.helpers.processes import spawn, wait_for
from tests.helpers.runs import ended

# A rate at which rounding does not grow: what the comparisons are about is the arithmetic.
RUN = [
    *TINY,
    "precision=fp32",
    "optimizer.lr=0.001",
    "log_every=10",
    "eval_every=25",
    "checkpoint_every=10",
]


def check_same(runs: Path, other: Path) -> None:
    """Bit for bit: weights, momentum, statistics, and every figure that was logged."""
    assert_same(ended(runs), ended(other))


def ranks_of(parent: int) -> list[int]:
    """The processes of a run's ranks, in the order of their numbers."""
    pids = subprocess.run(
        ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(parent)], capture_output=True, text=True
    ).stdout
    found = [int(line.split()[0]) for line in pids.splitlines() if "resnet_cli.launch.rank" in line]
    return sorted(found, key=lambda pid: environment(pid).get("RANK", ""))


def environment(pid: int) -> dict[str, str]:
    words = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return dict(word.split("=", 1) for word in words if "=" in word)


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

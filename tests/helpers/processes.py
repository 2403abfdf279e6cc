"""Commands in processes of their own, to be waited for, stopped and killed."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Seconds until a test gives up waiting. A test that passes never waits so long; on a machine that
# is busy with other things a run of seconds takes minutes.
PATIENCE = 240


def spawn(
    *arguments: object, env: dict[str, str] | None = None, **options: Any
) -> subprocess.Popen[str]:
    """resnet-train in a process of its own, to be killed."""
    words = [sys.executable, "-m", "resnet_cli.train", *map(str, arguments)]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"} | (env or {})
    return subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, **options
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Its exit code, stdout and stderr."""
    try:
        out, err = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return process.returncode, out, err


def wait_for(condition: Callable[[], Any]) -> Any:
    """What `condition` returns once it is true."""
    end = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < end, f"waited in vain for {PATIENCE} s"
        time.sleep(0.02)
    return found


def alive(pid: int) -> bool:
    """Whether a process still runs: a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False

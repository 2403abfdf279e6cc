"""One run on several devices: one process each, started and watched by torch elastic.

When a process is lost, all start anew from the last checkpoint.
"""

import json
import logging
import os
import signal
import sys
import tempfile
import uuid
from pathlib import Path
from typing import Any

from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs, SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from resnet_cli.launch.python import module_words
from resnet_cli.runtime.console import Console
from resnet_cli.runtime.errors import LOST, SILENT, Failed, Stopped, Told
from resnet_cli.runtime.signals import handled

_RANK_MODULE = "resnet_cli.launch.rank"  # what each process runs
# seconds that ranks have to save after a signal: they look for it between two steps, not during an
# evaluation
_SHUTDOWN_SECONDS = 300


def launch(plan: dict[str, Any], *, devices: int, max_restarts: int, console: Console) -> None:
    """Trains what `plan` says (see rank.py) in `devices` processes.

    Raises Told with the error of a rank that ended for a reason of its own, and Failed when
    processes were lost more than `max_restarts` times.
    """
    for restarts in range(max_restarts + 1):
        lost = _start_ranks(plan | {"restarted": restarts > 0}, devices=devices)
        if lost is None:
            return
        if restarts < max_restarts:
            console.warn(
                f"{lost}; all start anew from the last checkpoint (restart {restarts + 1} of "
                f"{max_restarts})"
            )
    raise Failed(
        f"{lost}; max_restarts={max_restarts} used up; the same command continues from the "
        "last checkpoint"
    )


def _start_ranks(plan: dict[str, Any], *, devices: int) -> str | None:
    """Runs the ranks to their end.

    Returns why processes were lost, None where none was. Raises Told, and Stopped after a signal.
    """
    # what a user needs to know, we print ourselves
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(_SHUTDOWN_SECONDS))
    handlers = {signum: signal.getsignal(signum) for signum in handled()}
    with tempfile.TemporaryDirectory(prefix="resnet-train-") as name:
        folder = Path(name)
        file = folder / "plan.json"
        file.write_text(json.dumps(plan | {"parent": os.getpid()}))
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=devices,
            run_id=uuid.uuid4().hex,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",  # any free port
            # `launch` starts anew itself: elastic would do so after a wrong config, too
            max_restarts=0,
            signals_to_handle=",".join(signum.name for signum in handled()),
            local_addr="localhost",  # this machine's name need not lead to it
            logs_specs=DefaultLogsSpecs(log_dir=str(folder)),
        )
        try:
            elastic_launch(config, sys.executable)(*module_words(_RANK_MODULE), str(file))
        except SignalException as stop:  # elastic has passed it on and waited
            lines = [line for line, code in _reports(folder) if code == 128 + stop.sigval]
            late = "killed while stopping; the same command continues from the last checkpoint"
            raise Stopped(lines[0] if lines else late, signum=stop.sigval) from stop
        except ChildFailedError as failed:
            return _why_lost(failed, _reports(folder))
        finally:
            for signum, handler in handlers.items():
                signal.signal(signum, handler)
    return None


def _reports(folder: Path) -> list[tuple[str, int]]:
    """The lines and exit codes that ranks have written before they ended, rank by rank."""
    files = sorted(folder.glob("rank*.json"), key=lambda file: int(file.stem.removeprefix("rank")))
    return [
        (content["line"], content["code"])
        for content in (json.loads(file.read_text()) for file in files)
    ]


def _why_lost(failed: ChildFailedError, reports: list[tuple[str, int]]) -> str:
    """Why a process was lost, in words. Raises Told where one ended for a reason of its own."""
    killed = [failure for failure in failed.failures.values() if failure.exitcode < 0]
    # where one was killed, elastic has told the others to stop, and one may have done so at once
    told = {LOST, SILENT} | ({128 + signal.SIGTERM} if killed else set())
    for line, code in reports:
        if code not in told:
            raise Told(line, code=code) from failed
    silent = [line for line, code in reports if code == SILENT]
    if silent:  # elastic has killed the one that hangs
        return silent[0]
    if killed:
        name = signal.Signals(-killed[0].exitcode).name
        # as NCCL's watchdog does
        how = "gave the others up (SIGABRT)" if name == "SIGABRT" else f"was killed by {name}"
        return f"rank {killed[0].local_rank} {how}"
    if reports:
        return reports[0][0]
    raise Failed(f"rank {failed.get_first_failure()[0]} failed, see above") from failed

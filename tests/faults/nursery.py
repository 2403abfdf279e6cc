"""Runs of resnet-train on a file system that fails (faults.c), each in a process of its own.

They are forked from one process that has imported everything, so that each costs a second.
"""

import ctypes
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.helpers.commands import Outcome

_SOURCE = Path(__file__).with_name("faults.c")


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What happens at one of the operations that change files; see `set_fault` in faults.c."""

    at: int = 0  # of the operations, from 1; 0: nothing happens there
    error: int = 0
    signum: int = 0
    torn: bool = False
    lasting: bool = False
    without_locks: bool = False
    after: float | None = None  # in place of `at`: seconds until the process gets the signal


def compiler() -> str | None:
    return shutil.which("cc") or shutil.which("gcc")


class Nursery:
    """The process that runs are forked from."""

    def __init__(self, folder: Path) -> None:
        name = compiler()
        assert name is not None
        library = folder / "faults.so"
        subprocess.run([name, "-shared", "-fPIC", "-o", library, _SOURCE, "-ldl"], check=True)
        self.folder = folder
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        environment = {"LD_PRELOAD": str(library), "TMPDIR": str(self.temporary)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.nursery"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | environment,
            text=True,
        )

    def train(self, runs: Path, *words: str, fault: Fault | None = None) -> Outcome:
        """resnet-train with `runs=`, and a fault there."""
        files = [self.folder / name for name in ("out", "err", "journal")]
        order = {
            "runs": str(runs),
            "words": [*words, f"runs={runs}"],
            "fault": dataclasses.asdict(fault or Fault()),
            "files": list(map(str, files)),
        }
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        code = int(self.process.stdout.readline())
        return Outcome(code, *(file.read_text(errors="replace") for file in files[:2]))

    def journal(self) -> list[str]:
        """The operations of the last run, such as `fsync /.../last.pt.part`."""
        return (self.folder / "journal").read_text().splitlines()

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


def _born(order: dict[str, Any]) -> int:
    """One run, in the forked process. Returns its exit code."""
    from resnet_cli.runtime.errors import run_command
    from resnet_cli.train import main_checked

    fault = Fault(**order["fault"])
    out, err, journal = order["files"]
    for stream, file in ((1, out), (2, err)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    ctypes.CDLL(None).set_fault(
        str(order["runs"]).encode(),
        ctypes.c_long(fault.at),
        fault.error,
        fault.signum if fault.at else 0,
        fault.torn,
        fault.lasting,
        fault.without_locks,
        journal.encode(),
    )
    sys.argv = ["resnet-train", *order["words"]]
    code = run_command("resnet-train", lambda: main_checked(sys.argv[1:]))
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def main() -> None:
    """Reads orders from stdin, a line each, and answers each with an exit code."""
    import resnet_cli.config.compose
    import resnet_cli.launch.start
    import resnet_cli.run.run  # noqa: F401

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if not child:
            code = 1
            try:
                code = _born(order)
            except BaseException:  # what a command would end with
                import traceback

                traceback.print_exc()
            finally:
                os._exit(code)
        if (after := order["fault"]["after"]) is not None:
            time.sleep(after)
            with suppress(ProcessLookupError):
                os.kill(child, order["fault"]["signum"])
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()

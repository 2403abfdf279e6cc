"""One of the processes of a run on several devices: `python -m resnet_cli.rank PLAN.json`, as distributed/launch.py starts it."""

import dataclasses
import json
import os
import sys
import threading
import time
from pathlib import Path

import torch

from resnet_cli import worker
from resnet_cli.console import Console
from resnet_cli.distributed.context import joined
from resnet_cli.errors import Lost, UserError, explain
from resnet_cli.files import write_whole
from resnet_cli.folder import RunFolder
from resnet_cli.hardware import choose_device, cores
from resnet_cli.schema import Config, from_plain
from resnet_cli.signals import stop_on_signal

# What PyTorch says, in a RuntimeError, when another process does not answer.
SILENCE = ("gloo", "NCCL", "Timed out", "Connection closed", "Connection reset", "Broken pipe", "Socket")


def train(config: Config, folder: RunFolder, *, command: str) -> None:
    """This rank's part of a run. Raises what `worker.run` does, and Lost where the others do not answer."""
    with stop_on_signal() as request:
        try:
            with joined(choose_device(config.device), timeout=config.timeout) as context:
                if "OMP_NUM_THREADS" not in os.environ:
                    torch.set_num_threads(max(1, cores() // context.local_world))
                console = Console(silent=not context.leads)
                for _ in worker.steps(config, folder, command=command, console=console, request=request, context=context):
                    pass
        except RuntimeError as error:
            if not any(word in str(error) for word in SILENCE):
                raise
            silent = "Timed out" in str(error)
            what = f"did not answer for timeout={config.timeout:g} s" if silent else "is gone"
            raise Lost(f"rank {os.environ['RANK']}: another one {what} ({str(error).splitlines()[0]})", silent=silent) from error


def end_with(parent: int) -> None:
    """Ends this process when its parent is gone, killed perhaps: nobody would be left to."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main(file: Path) -> int:
    """Returns the exit code; what a person should know goes to the parent, which hears the same from several."""
    plan = json.loads(file.read_text())
    end_with(plan["parent"])
    config = from_plain(plan["config"])
    if plan["restarted"] and config.resume == "never":
        config = dataclasses.replace(config, resume="auto")  # what there is now is this run's own
    try:
        train(config, RunFolder(Path(plan["folder"])), command=plan["command"])
        return 0
    except (UserError, KeyboardInterrupt, OSError, RuntimeError) as error:
        line, code = explain(error)
        write_whole(file.with_name(f"rank{os.environ['RANK']}.json"), json.dumps({"line": line, "code": code}))
        return code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

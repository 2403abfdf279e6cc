"""One of the processes of a run on several devices.

torchrun and srun start resnet-train itself, which calls `train` here; elastic.py starts
this module with the name of the plan.
"""

import dataclasses
import json
import os
import shutil
import sys
import threading
import time
from pathlib import Path

import torch
from torch import distributed

from resnet_cli.run.run import Run, run_from_plain, train_steps
from resnet_cli.runtime.console import Console
from resnet_cli.runtime.device import choose_device, cores
from resnet_cli.runtime.distributed import process_group
from resnet_cli.runtime.errors import Failed, Lost, UserError, explain
from resnet_cli.runtime.files import write_whole
from resnet_cli.runtime.signals import stop_on_signal

# What PyTorch's RuntimeErrors say when another process does not answer, or is gone.
_SILENT = ("Timed out", "timed out")
_GONE = ("Connection closed", "Connection reset", "Broken pipe", "remote process exited", *_SILENT)


def train(run: Run) -> None:
    """This rank's part of a run.

    Raises what `run.run.train` does, and Lost where the others do not answer.
    """
    config = run.config
    if config.resume == "never" and os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0":
        run = _resuming(run)
    with stop_on_signal(patient=True) as stop:
        try:
            device = choose_device(config.device, mps_will_do=False)
            with process_group(device, timeout=config.timeout) as context:
                if "OMP_NUM_THREADS" not in os.environ:
                    torch.set_num_threads(max(1, cores() // context.sharing))
                console = Console(silent=not context.is_main)
                for _ in train_steps(run, context=context, console=console, stop=stop):
                    pass
        except RuntimeError as error:
            explained = _explained(error, timeout=config.timeout)
            if explained is None:
                raise
            raise explained from error


def _explained(error: RuntimeError, *, timeout: float) -> UserError | None:
    """Lost where another rank is gone, Failed for an error of NCCL, None for anything else."""
    rank, text = os.environ["RANK"], str(error)
    if any(word in text for word in _GONE):
        silent = any(word in text for word in _SILENT)
        what = f"did not answer for timeout={timeout:g} s" if silent else "is gone"
        return Lost(f"rank {rank}: another one {what} ({text.splitlines()[0]})", silent=silent)
    if isinstance(error, distributed.DistBackendError):
        # the last error stands last, where it is not empty
        told = [line for line in map(str.strip, text.split("Last error:")) if line]
        reason = (told[-1] if told else type(error).__name__).splitlines()[0]
        return Failed(f"rank {rank}: {reason}")
    return None


def _resuming(run: Run) -> Run:
    """The run started anew: whatever resume= says, the checkpoints in its folder are its own."""
    return dataclasses.replace(run, config=dataclasses.replace(run.config, resume="auto"))


def _end_with(parent: int, folder: Path) -> None:
    """Ends this process when its parent is gone, and removes the `folder` with what they had to
    tell each other: nobody would be left to do so.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main(file: Path) -> int:
    """Trains this rank's part of the plan in `file`. Returns the exit code.

    The line that explains an error goes to the parent in a file: it gets the same from several
    ranks and prints it once.
    """
    plan = json.loads(file.read_text(encoding="utf-8"))
    _end_with(plan["parent"], file.parent)
    run = run_from_plain(plan)
    if plan["restarted"] and run.config.resume == "never":
        run = _resuming(run)
    try:
        train(run)
        return 0
    except (UserError, KeyboardInterrupt, OSError, RuntimeError) as error:
        line, code = explain(error)
        write_whole(
            file.with_name(f"rank{os.environ['RANK']}.json"),
            json.dumps({"line": line, "code": code}),
        )
        return code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

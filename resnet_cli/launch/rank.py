"""One of the processes of a run on several devices: started by torchrun or srun, where train.py
calls `train`, or

as `python -m resnet_cli.rank PLAN.json` by distributed/launch.py.
"""

import dataclasses
import json
import os
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

# What PyTorch says, in a RuntimeError, when another process does not answer, or no longer.
SILENT = ("Timed out", "timed out")
GONE = ("Connection closed", "Connection reset", "Broken pipe", "remote process exited", *SILENT)


def train(run: Run) -> None:
    """This rank's part of a run.

    Raises what `run.run.train` does, and Lost where the others do not answer.
    """
    config = run.config
    if config.resume == "never" and os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0":
        run = _resuming(run)
    with stop_on_signal(patient=True) as stop:
        try:
            with process_group(choose_device(config.device), timeout=config.timeout) as context:
                if "OMP_NUM_THREADS" not in os.environ:
                    torch.set_num_threads(max(1, cores() // context.sharing))
                console = Console(silent=not context.is_main)
                for _ in train_steps(run, context=context, console=console, stop=stop):
                    pass
        except RuntimeError as error:
            text = str(error)
            if not any(word in text for word in GONE):
                if isinstance(error, distributed.DistBackendError):  # NCCL's reason stands last
                    raise Failed(
                        f"rank {os.environ['RANK']}: "
                        f"{text.rpartition('Last error:')[2].strip().splitlines()[0]}"
                    ) from error
                raise
            silent = any(word in text for word in SILENT)
            what = f"did not answer for timeout={config.timeout:g} s" if silent else "is gone"
            raise Lost(
                f"rank {os.environ['RANK']}: another one {what} ({str(error).splitlines()[0]})",
                silent=silent,
            ) from error


def _resuming(run: Run) -> Run:
    """The run started anew: whatever resume= said, what is in its folder by now is its own."""
    return dataclasses.replace(run, config=dataclasses.replace(run.config, resume="auto"))


def end_with(parent: int) -> None:
    """Ends this process when its parent is gone, killed perhaps: nobody would be left to."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main(file: Path) -> int:
    """Returns the exit code; what a person should know goes to the parent, which hears the same
    from several.
    """
    plan = json.loads(file.read_text())
    end_with(plan["parent"])
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

"""The log of a run: metrics.jsonl, the source of truth, and TensorBoard events, a view of it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams as summarize

from resnet_cli.runtime.files import write_whole

_EVENTS = "events.out.tfevents*"
_ERRORS = {
    "train/error": "training error",
    "val/error": "validation error",
    "test/error": "test error",
}

# TensorBoard's Custom Scalars tab draws what matches, of all runs: plain networks on the left,
# residual ones on the right (Fig. 6).
_LAYOUT = {
    "degradation": {
        "plain": ["Multiline", ["plain/.*"]],
        "residual": ["Multiline", ["residual/.*"]],
    }
}


def _open_tensorboard(folder: Path, *, iteration: int, hparams: Mapping[str, Any]) -> SummaryWriter:
    """Opens the events of a run at `iteration`; later points are discarded.

    Layout and hyperparameters are written only when the run starts.
    """
    if iteration == 0:
        for old in folder.glob(_EVENTS):  # of a start that was stopped before its first checkpoint
            old.unlink()
    first = not any(folder.glob(_EVENTS))
    writer = SummaryWriter(str(folder), purge_step=iteration + 1)
    if first:
        writer.add_custom_scalars(_LAYOUT)
        values = {
            key: value if isinstance(value, bool | int | float) else str(value)
            for key, value in hparams.items()
        }
        for summary in summarize(values, dict.fromkeys(_ERRORS)):
            writer._get_file_writer().add_summary(summary)
    return writer


METRICS = "metrics.jsonl"


def read_metrics(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The lines of a metrics.jsonl, and how many of them are broken.

    The last line of a killed run may be.
    """
    lines, broken = [], 0
    for text in path.read_text(errors="replace").splitlines() if path.exists() else []:
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            line = None
        if is_log_point(line):
            lines.append(line)
        else:
            broken += 1
    return lines, broken


def is_log_point(line: Any) -> bool:
    """Whether a line holds numbers by name, `iteration` among them."""
    return (
        isinstance(line, dict)
        and "iteration" in line
        and all(isinstance(value, int | float) for value in line.values())
    )


class Logbook:
    """Appends one line per log point.

    Opened at iteration k, it drops what an interrupted run had written after k.
    """

    def __init__(
        self, folder: Path, *, iteration: int, family: str, hparams: Mapping[str, Any]
    ) -> None:
        """`family`: plain or residual. `hparams`: what TensorBoard's HParams tab lists of it."""
        path = folder / METRICS
        lines = [line for line in read_metrics(path)[0] if line["iteration"] <= iteration]
        write_whole(path, "".join(json.dumps(line) + "\n" for line in lines))
        self.file = path.open("a", buffering=1)
        self.family = family
        self.board = _open_tensorboard(folder, iteration=iteration, hparams=hparams)

    def write(self, iteration: int, values: dict[str, float]) -> None:
        """Writes one log point: errors in percent, loss in nats.

        TensorBoard also gets the errors by a name that tells plain from residual, for the layout.
        """
        self.file.write(json.dumps({"iteration": iteration, **values}) + "\n")
        for name, value in values.items():
            self.board.add_scalar(name, value, iteration)
            if name in _ERRORS:
                self.board.add_scalar(f"{self.family}/{_ERRORS[name]}", value, iteration)

    def close(self) -> None:
        """Closes the files."""
        self.file.close()
        self.board.close()

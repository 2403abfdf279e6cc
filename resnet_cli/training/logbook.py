"""The log of a run: metrics.jsonl, the source of truth, and TensorBoard events, a view of it."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams as summarize

from resnet_cli.runtime.files import naming, write_whole
from resnet_cli.runtime.parse import parse, parse_json
from resnet_cli.training.sinks import Sinks

_EVENTS = "events.out.tfevents*"
_ERRORS = {
    "train/error": "training error",
    "val/error": "validation error",
    "test/error": "test error",
}

# TensorBoard's Custom Scalars tab draws what matches, of all runs: plain networks first, then
# residual ones (Fig. 6), each chart one error of one family, so that a colour is a run alone.
_LAYOUT = {
    "degradation": {
        f"{family}: {kind} error": ["Multiline", [f"{family}/{tags} error"]]
        for family in ("plain", "residual")
        for kind, tags in (("training", "training"), ("test", "(test|validation)"))
    }
}
_FIRST = ("model.depth", "shortcut", "seed")  # of the HParams tab's columns


def _open_tensorboard(
    folder: Path, *, iteration: int, hparams: Mapping[str, Any], command: str
) -> SummaryWriter:
    """Opens the events of a run at `iteration`; later points are discarded.

    Layout and hyperparameters are written only when the run starts.
    """
    if iteration == 0:
        for old in folder.glob(_EVENTS):  # of a start that was stopped before its first checkpoint
            old.unlink()
    first = not any(folder.glob(_EVENTS))
    with _silence_threads():  # it writes from the first moment on
        writer = SummaryWriter(str(folder), purge_step=iteration + 1)
        _silence(writer)
    if first:
        writer.add_custom_scalars(_LAYOUT)
        values = {
            key: value if isinstance(value, bool | int | float) else str(value)
            for key, value in sorted(hparams.items(), key=lambda item: item[0] not in _FIRST)
        }
        if command:
            writer.add_text("command", f"`{command}`")
        for summary in summarize(values, dict.fromkeys(_ERRORS)):
            writer._get_file_writer().add_summary(summary)
    return writer


def _silence(writer: SummaryWriter) -> None:
    """Keeps the writing thread from printing a traceback on a full disk.

    The next point raises the same error where we can explain it.
    """
    thread = writer._get_file_writer().event_writer._async_writer._worker
    thread._invoke_excepthook = lambda _: None


@contextmanager
def _silence_threads() -> Iterator[None]:
    """While open, no thread prints the error that it ends with."""
    before, threading.excepthook = threading.excepthook, lambda _: None
    try:
        yield
    finally:
        threading.excepthook = before


METRICS = "metrics.jsonl"
_LONGEST = 10_000  # characters of a line; what is longer is none of ours


def read_metrics(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The lines of a metrics.jsonl, and how many of them are broken.

    The last line of a killed run may be.
    """
    if not path.is_file():
        return [], 0
    lines, broken = [], 0
    with path.open(encoding="utf-8", errors="replace") as file:
        for text in _texts(file):
            try:
                lines.append(log_point(text))
            except ValueError:
                broken += 1
    return lines, broken


def _texts(file: TextIO) -> Iterator[str]:
    """The lines of a file; of a line that is too long to be ours, an empty one."""
    while text := file.readline(_LONGEST):
        whole = part = text
        while len(part) == _LONGEST and not part.endswith("\n"):
            whole, part = "", file.readline(_LONGEST)
        yield whole


def log_point(text: str) -> dict[str, Any]:
    """Figures under their names, `iteration` among them. Raises ValueError."""
    line = parse_json(text)
    iteration = line.pop("iteration", None) if isinstance(line, dict) else None
    return {
        "iteration": parse(int, iteration, "iteration"),
        **parse(dict[str, float], line, "the line"),
    }


class Logbook:
    """Appends one line per log point.

    Opened at iteration k, it drops what an interrupted run had written after k.
    """

    def __init__(
        self,
        folder: Path,
        *,
        iteration: int,
        family: str,
        hparams: Mapping[str, Any],
        command: str = "",
        sinks: Sinks | None = None,
    ) -> None:
        """`family`: plain or residual. `hparams`: what TensorBoard's HParams tab lists of it.
        `command`: what its Text tab shows. `sinks`: who else is told each point.
        """
        path = folder / METRICS
        lines = [line for line in read_metrics(path)[0] if line["iteration"] <= iteration]
        write_whole(path, "".join(json.dumps(line) + "\n" for line in lines))
        self.file = path.open("a", buffering=1, encoding="utf-8")
        self.family = family
        with naming(folder):
            self.board = _open_tensorboard(
                folder, iteration=iteration, hparams=hparams, command=command
            )
        self.sinks = sinks
        if sinks is not None:
            sinks.write((line.pop("iteration"), line) for line in lines)

    def write(self, iteration: int, values: dict[str, float]) -> None:
        """Writes one log point: errors in percent, loss in nats.

        TensorBoard also gets the errors by a name that tells plain from residual, for the layout.
        """
        with naming(Path(self.file.name)):
            self.file.write(json.dumps({"iteration": iteration, **values}) + "\n")
        with naming(Path(self.board.log_dir)):
            self._draw(iteration, values)
        if self.sinks is not None:
            self.sinks.write([(iteration, values)])

    def _draw(self, iteration: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self.board.add_scalar(name, value, iteration)
            if name in _ERRORS:
                self.board.add_scalar(f"{self.family}/{_ERRORS[name]}", value, iteration)

    def close(self, *, finished: bool = True) -> None:
        """Closes the files. Raises the OSError that TensorBoard's thread has met."""
        if self.sinks is not None:
            self.sinks.close(finished=finished)
        with naming(Path(self.board.log_dir)):
            self.file.close()
            self.board.close()

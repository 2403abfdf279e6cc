"""The log of a run: metrics.jsonl, the source of truth, and TensorBoard events, a view of it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from resnet_cli.runtime.files import naming, write_whole
from resnet_cli.training import board
from resnet_cli.training.metrics import METRICS, read_metrics
from resnet_cli.training.sinks import Sinks


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
        about: str = "",
        sinks: Sinks | None = None,
    ) -> None:
        """`family`: plain or residual. `hparams`: what TensorBoard's HParams tab lists of it.
        `about`: what its Text tab shows, as it is. `sinks`: who else is told each point.
        """
        path = folder / METRICS
        lines = [line for line in read_metrics(path)[0] if line["iteration"] <= iteration]
        write_whole(path, "".join(json.dumps(line) + "\n" for line in lines))
        self.file = path.open("a", buffering=1, encoding="utf-8")
        self.family = family
        with naming(folder):
            self.board = board.open_board(folder, iteration=iteration, hparams=hparams, about=about)
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
            if name in board.ERRORS:
                self.board.add_scalar(f"{self.family}/{board.ERRORS[name]}", value, iteration)

    def show(self, images: Tensor) -> None:
        """Puts training images, float [N, 3, H, W] in 0..1, into the Images tab, as a grid."""
        with naming(Path(self.board.log_dir)):
            self.board.add_image(board.IMAGES, board.grid(images), 0)

    def close(self, *, finished: bool = True) -> None:
        """Closes the files. Raises the OSError that TensorBoard's thread has met."""
        if self.sinks is not None:
            self.sinks.close(finished=finished)
        with naming(Path(self.board.log_dir)):
            self.file.close()
            self.board.close()

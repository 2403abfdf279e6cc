"""TensorBoard's view of a run: a layout that sets plain and residual networks of all depths side by side, and the run's settings."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams as summarise

EVENTS = "events.out.tfevents*"
ERRORS = {"train/error": "training error", "val/error": "validation error", "test/error": "test error"}

# Custom Scalars draws, of all runs, what matches: plain networks on the left, residual ones on the right (Fig. 6).
LAYOUT = {"degradation": {"plain": ["Multiline", ["plain/.*"]], "residual": ["Multiline", ["residual/.*"]]}}


def board(folder: Path, *, iteration: int, hparams: Mapping[str, Any]) -> SummaryWriter:
    """Opens a run's events at `iteration`: points after it are void. Layout and settings are written once in a run's life."""
    if iteration == 0:
        for old in folder.glob(EVENTS):  # of a start that never reached a checkpoint
            old.unlink()
    first = not any(folder.glob(EVENTS))
    writer = SummaryWriter(str(folder), purge_step=iteration + 1)
    if first:
        writer.add_custom_scalars(LAYOUT)
        values = {key: value if isinstance(value, bool | int | float) else str(value) for key, value in hparams.items()}
        for summary in summarise(values, dict.fromkeys(ERRORS)):
            writer._get_file_writer().add_summary(summary)
    return writer

"""What TensorBoard shows of a run: its charts, settings, command and plan, and training images."""

import textwrap
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch import Tensor
from torch.nn.functional import pad
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams as summarize

ERRORS = {
    "train/error": "training error",
    "test/error": "test error",
    "val/error": "validation error",
}
IMAGES = "training images"  # under which the Images tab has them
_EVENTS = "events.out.tfevents*"
_WIDTH, _TILE, _GAP = 700, 64, 4  # pixels of the grid (a card has 350), an image, between two

# TensorBoard's Custom Scalars tab draws what matches, of all runs: plain networks first, then
# residual ones (Fig. 6), each chart one error of one family, so that a colour is a run alone.
_LAYOUT = {
    "degradation": {
        f"{family}: {kind} error": ["Multiline", [f"{family}/{tags} error"]]
        for family in ("plain", "residual")
        for kind, tags in (("training", "training"), ("test", "(test|validation)"))
    }
}
# The HParams tab shows five settings, first those of which it is said that they differ, and after
# them the errors.
_FIRST = {"model.depth", "shortcut", "seed", "optimizer.lr", "schedule.iterations"}


def open_board(
    folder: Path, *, iteration: int, hparams: Mapping[str, Any], about: str
) -> SummaryWriter:
    """Opens the events of a run at `iteration`; later points are discarded.

    Layout, settings and text are written only when the run starts.
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
        if about:
            writer.add_text("run", textwrap.indent(about, "    "))  # Markdown's for verbatim
        for summary in _settings(hparams):
            writer._get_file_writer().add_summary(summary)
    return writer


def _settings(hparams: Mapping[str, Any]) -> tuple[Summary, Summary, Summary]:
    """The summaries of the HParams tab: which columns there are, a run's values, and its end."""
    values = {
        key: value if isinstance(value, bool | int | float) else str(value)
        for key, value in hparams.items()
    }
    columns, start, end = summarize(values, dict.fromkeys(ERRORS))
    data = columns.value[0].metadata.plugin_data
    content = HParamsPluginData.FromString(data.content)
    for setting in content.experiment.hparam_infos:
        setting.differs = setting.name in _FIRST
    for metric in content.experiment.metric_infos:
        metric.display_name = ERRORS[metric.name.tag]
    data.content = content.SerializeToString()
    return columns, start, end


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


def grid(images: Tensor) -> Tensor:
    """The first of the images, [N, 3, H, W] in 0..1, side by side: uint8 [3, height, width].

    Small ones are enlarged by a whole factor, and the width is twice that of a card, so that each
    of their pixels stays a square there.
    """
    from torchvision.utils import make_grid  # not at the top: it wakes the compiler

    size = images.shape[-1]
    factor = max(1, _TILE // size)
    columns = max(1, (_WIDTH - _GAP) // (size * factor + _GAP))
    shown = images[: columns * columns].cpu()
    enlarged = shown.repeat_interleave(factor, dim=2).repeat_interleave(factor, dim=3)
    tiles = make_grid(enlarged, nrow=columns, padding=_GAP, pad_value=1.0)
    tiles = pad(tiles, (0, max(0, _WIDTH - tiles.shape[2])), value=1.0)
    return tiles.mul(255).round().to(torch.uint8)

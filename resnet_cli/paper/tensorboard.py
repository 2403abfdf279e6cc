"""The report's figures for TensorBoard's Images tab."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from PIL import Image
from tensorboard.compat.proto.summary_pb2 import Summary

from resnet_cli.paper.draw import draw_card
from resnet_cli.paper.plot import Plot
from resnet_cli.paper.runs import Run

_FOLDER = "report"
_EVENTS = "events.out.tfevents*"


def show_on_board(plots: Sequence[Plot], runs: Sequence[Run]) -> list[Path]:
    """Puts each figure into the `report` folder of its data set, `runs/<dataset>/report`, in place
    of what was there.

    Returns those folders. Runs without TensorBoard events, such as results kept in a repository,
    get none. Raises OSError where a folder takes no more.
    """
    homes: dict[Path, str] = {}
    for run in runs:
        above = [
            folder
            for folder in run.folder.resolve().parents
            if folder.name == run.dataset.partition("-")[0]
        ]
        if above and any(run.folder.glob(_EVENTS)):
            homes[above[0] / _FOLDER] = above[0].name
    if not homes:
        return []
    from torch.utils.tensorboard import FileWriter  # not at the top: it wakes PyTorch

    for home, dataset in homes.items():
        home.mkdir(exist_ok=True)
        for old in home.glob(_EVENTS):
            old.unlink()
        board = FileWriter(str(home))
        for plot in (plot for plot in plots if plot.dataset.partition("-")[0] == dataset):
            value = Summary.Value(tag=plot.name, image=_encoded(draw_card(plot)))
            board.add_summary(Summary(value=[value]), 0)
        board.close()
    return list(homes)


def _encoded(png: bytes) -> Summary.Image:
    """A PNG file as TensorBoard keeps it."""
    with Image.open(BytesIO(png)) as picture:
        width, height = picture.size
    return Summary.Image(height=height, width=width, colorspace=4, encoded_image_string=png)

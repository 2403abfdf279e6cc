"""What TensorBoard finds in a run: the layout and the settings once, each point once, plain and
residual told apart.
"""

from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout
from tensorboard.plugins.hparams.backend_context import Context
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from resnet_cli.training.board import grid
from resnet_cli.training.logbook import Logbook


def log(folder: Path, *, start: int, end: int, family: str = "plain") -> None:
    """Every tenth iteration after `start` up to `end`; errors are 100 minus the iteration."""
    book = Logbook(
        folder,
        iteration=start,
        family=family,
        about="resnet-train model=plain20\n\n  network  plain20: 20 layers",
        hparams={"dataset.train_images": None, "model.depth": 20, "shortcut": "A", "batch_size": 8},
    )
    for iteration in range(start + 10, end + 1, 10):
        book.write(
            iteration, {"train/error": 100.0 - iteration, "test/error": 99.0 - iteration, "lr": 0.1}
        )
    book.close()


def summaries(folder: Path, tag: str) -> list[bytes]:
    """The content of every summary of that name, in all of a run's event files."""
    files = sorted(folder.glob("events.out.tfevents*"))
    values = [
        value
        for file in files
        for event in EventFileLoader(str(file)).Load()
        for value in event.summary.value
        if value.tag == tag
    ]
    return [
        value.metadata.plugin_data.content
        if tag.startswith("_hparams_")
        else value.tensor.string_val[0]
        for value in values
    ]


def test_a_resumed_run_has_every_point_layout_and_setting_once(tmp_path: Path) -> None:
    log(tmp_path, start=0, end=30)  # never reached a checkpoint
    log(tmp_path, start=0, end=50)
    log(tmp_path, start=20, end=60)
    board = EventAccumulator(str(tmp_path), size_guidance={"scalars": 0})
    board.Reload()
    for tag, first in (
        ("plain/training error", 90.0),
        ("plain/test error", 89.0),
        ("train/error", 90.0),
    ):
        assert [(event.step, event.value) for event in board.Scalars(tag)] == [
            (10 * n, first - 10 * (n - 1)) for n in range(1, 7)
        ]
    assert "plain/lr" not in board.Tags()["scalars"]
    (start,) = summaries(tmp_path, "_hparams_/session_start_info")
    settings = HParamsPluginData.FromString(start).session_start_info.hparams
    assert settings["model.depth"].number_value == 20
    assert (settings["shortcut"].string_value, settings["dataset.train_images"].string_value) == (
        "A",
        "None",
    )
    assert len(summaries(tmp_path, "_hparams_/experiment")) == 1
    assert summaries(tmp_path, "run/text_summary") == [  # indented: Markdown shows it as it is
        b"    resnet-train model=plain20\n\n      network  plain20: 20 layers"
    ]
    (layout,) = summaries(tmp_path, "custom_scalars__config__")
    (category,) = Layout.FromString(layout).category
    assert category.title == "degradation"
    assert [(chart.title, list(chart.multiline.tag)) for chart in category.chart] == [
        ("plain: training error", ["plain/training error"]),
        ("plain: test error", ["plain/(test|validation) error"]),
        ("residual: training error", ["residual/training error"]),
        ("residual: test error", ["residual/(test|validation) error"]),
    ]


def test_the_table_of_settings_begins_with_depth_and_shortcut_then_errors(tmp_path: Path) -> None:
    """As TensorBoard's own code orders the columns of several runs."""
    for depth in (20, 56):
        folder = tmp_path / str(depth)
        folder.mkdir()
        log(folder, start=0, end=10)
    board = EventMultiplexer().AddRunsFromDirectory(str(tmp_path))
    board.Reload()
    context = Context(TBContext(data_provider=MultiplexerDataProvider(board, str(tmp_path))))
    experiment = context.experiment_from_metadata(
        RequestContext(), "", True, context.hparams_metadata(RequestContext(), ""), None
    )
    columns = [column.name for column in experiment.hparam_infos]
    assert columns == ["model.depth", "shortcut", "batch_size", "dataset.train_images"]
    assert [(one.name.tag, one.display_name) for one in experiment.metric_infos] == [
        ("train/error", "training error"),
        ("test/error", "test error"),
        ("val/error", "validation error"),
    ]


@pytest.mark.parametrize(
    ("count", "size", "factor", "columns"), [(128, 32, 2, 10), (40, 64, 1, 10), (4, 224, 1, 3)]
)
def test_a_grid_shows_images_row_by_row(count: int, size: int, factor: int, columns: int) -> None:
    """A pixel is a square of `factor`, four white pixels lie between two images."""
    images = torch.rand(count, 3, size, size)
    shown = grid(images)
    assert shown.shape[2] == 700 and shown.dtype is torch.uint8
    step = size * factor + 4
    for number in range(min(count, columns * columns)):
        top, left = 4 + number // columns * step, 4 + number % columns * step
        tile = shown[:, top : top + step - 4, left : left + step - 4]
        for row, column in ((0, 0), (factor - 1, 0), (0, factor - 1)):
            seen = tile[:, row::factor, column::factor]
            assert torch.equal(seen, (images[number] * 255).round().to(torch.uint8))
        assert (shown[:, top - 4 : top, left:] == 255).all()


@pytest.mark.parametrize("family", ["plain", "residual"])
def test_the_layouts_charts_find_their_curves(tmp_path: Path, family: str) -> None:
    log(tmp_path, start=0, end=10, family=family)
    board = EventAccumulator(str(tmp_path))
    board.Reload()
    assert {tag for tag in board.Tags()["scalars"] if tag.startswith(f"{family}/")} == {
        f"{family}/training error",
        f"{family}/test error",
    }

"""What people see of a report: names that can be read, each figure once, in the right order."""

import base64
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

from resnet_cli.analysis.per_class import write_per_class
from resnet_cli.evaluation.predictions import Predictions
from resnet_cli.paper.blocks import Heading
from resnet_cli.paper.page import to_html
from tests.helpers.commands import Command
from tests.paper.made_up import make_run

DEPTHS = (20, 32, 44, 56, 110)


def contrast(one: object, other: object) -> float:
    """WCAG 2.2's contrast ratio of two sRGB colours, 1 to 21."""
    bright = []
    for colour in (one, other):
        linear = [
            c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
            for c in to_rgb(colour)  # type: ignore[arg-type]
        ]
        bright.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return (max(bright) + 0.05) / (min(bright) + 0.05)


def test_contrast_is_wcags() -> None:
    """https://www.w3.org/TR/WCAG22/: black on white is 21; #767676 is the lightest grey of 4.5."""
    assert contrast("black", "white") == pytest.approx(21)
    assert contrast("#767676", "white") > 4.5 > contrast("#777777", "white")


@pytest.fixture
def drawn(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: Any
) -> tuple[Path, list[Figure]]:
    """A report of all depths of Figure 6, or those named, two seeds of one, and of two more data
    sets; and the figures in it.
    """
    figures: list[Figure] = []
    save = Figure.savefig

    def savefig(self: Figure, *args: Any, **words: Any) -> None:
        figures.append(self)
        save(self, *args, **words)

    monkeypatch.setattr(Figure, "savefig", savefig)
    runs = tmp_path / "runs"
    whole: dict[str, Any] = {"errors": (60.0, 9.0), "iterations": 64_000}
    for depth in getattr(request, "param", DEPTHS):
        make_run(runs, f"plain{depth}", **whole)
        make_run(runs, f"resnet{depth}-A", **whole)
    make_run(runs, "resnet56-A", seed=1, **whole | {"errors": (60.0, 8.0)})  # a band
    for network in ("plain20", "resnet20-A"):
        make_run(runs, network, dataset="synthetic")
        for label in ("apples", "zebras"):
            make_run(
                runs,
                network.replace("20", "18"),
                f"dataset.label={label}",
                dataset="imagenet",
                data={"name": label, "classes": ["a", "b"], "images": {"train": 8, "val": 4}},
            )
    made = command("resnet-report", runs, "--out", tmp_path / "out")
    assert made.code == 0, made.err
    return tmp_path / "out", figures


def test_a_report_is_read_by_people(drawn: tuple[Path, list[Figure]]) -> None:
    out, figures = drawn
    texts = [text for one in figures for text in one.findobj(Text) if text.get_text().strip()]
    names = {text.get_text() for text in texts}
    assert {f"{depth}-layer" for depth in DEPTHS} <= names
    assert "iterations (thousands)" in names or "iterations (1e4)" in names
    faint = {
        (text.get_text(), text.get_color())
        for text in texts
        if contrast(text.get_color(), "white") < 4.5
    }
    assert faint == set()

    page = (out / "report.html").read_text()
    headings = re.findall(r"<h[23] id=[^>]*>([^<]*)</h[23]>", page)
    first = next(number for number, text in enumerate(headings) if text.startswith("Figure 1"))
    others = [
        number
        for number, text in enumerate(headings)
        if text.startswith(("apples", "synthetic", "zebras"))
    ]
    assert len(others) >= 3 and first < min(others)
    assert headings[0] == "What the runs say" and page.index("<nav") < page.index("<img")
    pictures = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', page)
    assert len(pictures) == len(set(pictures)) > 3
    assert all(base64.b64decode(picture).lstrip().startswith(b"<?xml") for picture in pictures)


@pytest.mark.parametrize("drawn", [DEPTHS, (20, 56)], indirect=True, ids=["all", "two depths"])
def test_nothing_is_cut_off_by_the_edge_of_a_figure(drawn: tuple[Path, list[Figure]]) -> None:
    """With a band of seeds and the paper's ends, printed and read off, the legend is widest."""
    _, figures = drawn
    keys = {len(legend.get_texts()) for one in figures for legend in one.legends}
    assert max(keys) == 5, keys
    for one in figures:
        box, (width, height) = one.get_tightbbox(), one.get_size_inches()
        assert box.x0 >= 0 and box.y0 >= 0, one.get_suptitle()
        assert box.x1 <= width and box.y1 <= height, one.get_suptitle()


def test_counts_are_read_in_every_cell_of_a_confusion_matrix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eleven classes, of which a tenth more each is recognised: all shades of the scale."""
    figures: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *_, **__: figures.append(self))
    labels = torch.arange(11).repeat_interleave(10)
    answers = torch.tensor([n if m < n else (n + 1) % 11 for n in range(11) for m in range(10)])
    kept = Predictions(torch.eye(11)[answers], labels, ())
    write_per_class(kept, [f"class {n}" for n in range(11)], tmp_path / "errors")
    (axes, _) = figures[0].axes
    (cells,) = axes.images
    assert len(axes.texts) == 121
    for text in axes.texts:
        column, row = text.get_position()
        shade = cells.to_rgba(cells.get_array()[int(row), int(column)])  # type: ignore[index]
        assert contrast(text.get_color(), shade[:3]) >= 4.5


def test_the_page_is_read_by_day_and_by_night(tmp_path: Path) -> None:
    """The colours of both schemes, as the page's own style sheet names them."""
    page = to_html([Heading("A report", 1)], folder=tmp_path)
    schemes = re.findall(r":root \{([^}]*)\}", page)
    assert len(schemes) == 2 and "prefers-color-scheme: dark" in page
    for scheme in schemes:
        colours = dict(re.findall(r"--(\w+): (#\w+)", scheme))
        for text, ground in (("ink", "paper"), ("link", "paper"), ("ink", "code")):
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground, colours)

"""What resnet-analyze leaves, read by resnet-report: sentences by hand, and files nobody wrote."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from resnet_cli.paper import before_after
from resnet_cli.paper.blocks import Grid, Picture
from resnet_cli.paper.history import LATER, WINNERS
from resnet_cli.paper.prose import plain
from resnet_cli.paper.why import identity, landscape, lesion, paths
from resnet_cli.paper.why.chapter import chapter, findings
from resnet_cli.paper.why.records import (
    Change,
    Identity,
    Lesion,
    Measured,
    PathLength,
    Point,
    from_csv,
    to_csv,
)
from resnet_cli.paper.why.style import extent
from tests.helpers.commands import Command
from tests.paper.made_up import make_run

OF: dict[str, Any] = {"seed": 0, "iteration": 64_000, "dataset": "cifar10", "images": 10_000}


def lesions() -> list[Lesion]:
    """Of a plain network ruined by each deletion, and a residual one that is not."""
    found = []
    for name, intact, errors in (
        ("plain20", 9.5, (90.0, 80.0, None, 70.0)),
        ("resnet20-A", 8.5, (9.0, 10.0, 40.0, 12.0)),
    ):
        row: dict[str, Any] = {"k": 1, "draw": 0, "kendall_tau": 1.0, "network": name, **OF}
        found.append(
            Lesion(
                change=Change.intact,
                blocks="",
                position=None,
                stage=None,
                keeps_shape=True,
                error=intact,
                **row,
            )
        )
        for at, (error, stage) in enumerate(zip(errors, (1, 1, 2, 2), strict=True), 1):
            change = Change.skipped if error is None else Change.delete
            found.append(
                Lesion(
                    change=change,
                    blocks=f"b{at}",
                    position=at,
                    stage=stage,
                    error=error,
                    keeps_shape=at != 3,
                    **row,
                )
            )
    return found


def identities() -> list[Identity]:
    return [
        Identity(
            network=network, role=role, layers=layers, split=split, error=error, loss=0.1,
            logit_difference=difference, **OF,
        )
        for network, role, layers, split, error, difference in (
            ("plain20", "trained", 20, "train", 1.5, None),
            ("plain20", "trained", 20, "test", 9.5, None),
            ("plain56", "constructed", 56, "train", 1.5, 0.0),
            ("plain56", "constructed", 56, "test", 9.5, 0.0),
            ("plain56", "deeper, trained", 56, "train", 7.5, None),
            ("plain56", "deeper, trained", 56, "test", 13.0, None),
        )
    ]  # fmt: skip


def points() -> list[Point]:
    """A bowl, which overflows in one corner."""
    more: dict[str, Any] = {
        "network": "plain20",
        "direction_seed": 0,
        "weights": "x",
        "precision": "fp32",
        **OF,
    }
    return [
        Point(a=a, b=b, error=10.0, loss=float("inf") if a + b == 2 else 1 + 4 * (a * a + b * b),
              **more)
        for a in (-1.0, 0.0, 1.0)
        for b in (-1.0, 0.0, 1.0)
    ]  # fmt: skip


def lengths() -> list[PathLength]:
    return [
        PathLength(
            network="resnet8-A", blocks=3, length=k, log10_paths=0.0, share=share, sampled=1,
            path_norm=norm, total=total, sum_norm=norm, **OF,
        )
        for k, share, norm, total in (
            (0, 12.5, 8.0, 58.0), (1, 37.5, 2.0, 38.0), (2, 37.5, 1.0, 3.0), (3, 12.5, 0.4, 1.0)
        )
    ]  # fmt: skip


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    for rows in (lesions(), identities(), points(), lengths()):
        path = tmp_path / "it.csv"
        path.write_text(to_csv(rows))
        assert from_csv(type(rows[0]), path) == rows


def test_the_sentences_say_what_the_rows_do() -> None:
    one, many, exchanged, left_out = lesion.sentences(lesions())
    assert one == (
        "With one block deleted, of those that keep the map's dimensions, the error of plain-20 "
        "goes from 9.50 % to 80.00 % in the median and 90.00 % at worst; that of ResNet-20 goes "
        "from 8.50 % to 10.00 % in the median and 12.00 % at worst."
    )
    assert (many, exchanged) == ("", "")
    assert left_out == "Not deleted, as the map's dimensions change there: b3 of plain-20."
    assert identity.sentences(identities())[1:] == [
        "So a plain-56 with a training error of 1.50 % exists.",
        "The one that training found has 7.50 %, 6.00 points more: the solver does not find what "
        "is there.",
    ]
    assert paths.effective(lengths()) == (0, 1)
    assert paths.sentences(lengths())[1] == (
        "In ResNet-8, 95 % of the gradient comes along paths of 0 to 1 blocks, which are 50 % of "
        "all."
    )
    assert landscape.sentences(points()) == [
        "At the trained weights, plain-20 has a loss of 1.",
        "The loss is at most twice that at 11.1 % of the points for plain-20.",
        "Its median on the border of the square is 5 for plain-20.",
    ]


def test_a_landscape_has_no_hole_where_the_loss_is_beyond_its_scale() -> None:
    """matplotlib leaves out a plateau at the last level: a corner of results/ was white."""
    steep = [replace(row, loss=5000.0) if row.a >= 0 else row for row in points()]
    sheet = landscape.figure(steep)
    canvas = FigureCanvasAgg(sheet)
    canvas.draw()
    (flat,) = [one for one in sheet.axes if one.get_xlabel() == "along direction 1"]
    pixels = np.asarray(canvas.buffer_rgba())
    for b in (-0.6, -0.3, 0.3, 0.6):  # the plateau is half of the square
        x, y = flat.transData.transform((0.5, b))
        red, green, blue, _ = pixels[pixels.shape[0] - round(y), round(x)]
        assert min(red, green, blue) < 100, (b, red, green, blue)
    (bar,) = [one for one in sheet.axes if one.get_label() == "<colorbar>"]
    assert bar.get_xticklabels()[-1].get_text() == "≥1000"


@pytest.mark.parametrize("ks", [(), (Change.random,), (Change.random, Change.swap)])
def test_titles_and_legend_fit_the_sheet_of_lesions(ks: tuple[Change, ...]) -> None:
    """`--k` alone leaves one panel, beside which the words are wide."""
    made = lesions()
    several = [
        replace(row, change=change, k=k, error=50.0)
        for row in made
        if row.change is Change.intact
        for change in ks
        for k in (1, 2)
    ]
    sheet = lesion.figure(made + several)
    sheet.canvas.draw()
    (legend,) = sheet.legends
    title = sheet.get_suptitle()
    (words,) = [text for text in sheet.texts if text.get_text() == title]
    for one in (legend, words):
        box = one.get_window_extent()
        assert box.x0 >= 0 and box.x1 <= sheet.bbox.x1, one


def test_the_report_shows_what_is_there(command: Command, tmp_path: Path) -> None:
    runs, out = tmp_path / "runs", tmp_path / "out"
    make_run(runs, "resnet20-A", errors=[8.4], every=64_000)
    rows: dict[str, list[Measured]] = {
        "lesion": [*lesions()], "identity": [*identities()], "landscape": [*points()],
        "paths": [*lengths()],
    }  # fmt: skip
    for name, its in rows.items():
        (runs / f"{name}.csv").write_text(to_csv(its))
    done = command("resnet-report", runs, "--out", out)
    assert done.code == 0, done.err
    report = (out / "report.md").read_text()
    why = report.split("## Why it works")[1].split("## Before and after")[0]
    assert why.count("![") == 4 and "the solver does not find what is there" in why
    for name in rows:
        assert (out / f"why-{name}.png").is_file() and (out / f"why-{name}.svg").is_file()
    after = report.split("## Before and after")[1]
    assert "6.66 in Table 5" in after and "counts 8 layers" in after
    assert (out / "depth.svg").is_file()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "a,b\n1,2\n",
        to_csv(lengths()).replace("resnet8-A,0", "resnet8-A,x"),
        to_csv(lengths()).replace(",3,0,", ",1000000000,0,"),
        to_csv(lengths()).replace("8.0", "nan"),
        to_csv(lengths()).splitlines()[0] + "\n",
        to_csv(lengths()) + "1,2\n",
        "\x00\x1b[31m",
    ],
)
def test_what_does_not_fit_is_passed_over(tmp_path: Path, content: str) -> None:
    (tmp_path / "paths.csv").write_text(content)
    found, notes = findings([tmp_path], tmp_path, formats=["png"])
    assert found == [] == chapter(found)
    assert "paths.csv was passed over: " in plain(notes[0])


def test_odd_rows_stop_no_report(tmp_path: Path) -> None:
    """Readable, but of no network that there can be."""
    (tmp_path / "lesion.csv").write_text(to_csv(lesions()[1:3]))
    (tmp_path / "landscape.csv").write_text(to_csv(points()[:2]))
    found, notes = findings([tmp_path], tmp_path, formats=["png"])
    assert found == [] and len(notes) == 2


def test_before_and_after_has_every_entry() -> None:
    blocks = before_after.chapter([])
    winners, *later = [one for one in blocks if isinstance(one, Grid)]
    assert [row[3] for row in winners.rows] == ["28.2", "25.8", "16.4", "11.7", "7.32", "6.67",
                                                "3.57"]  # fmt: skip
    assert len(winners.rows) == len(WINNERS)
    assert [len(grid.rows) for grid in later] == [len(table.lines) for table in LATER]
    assert all(row[-1] == "not run" for grid in later for row in grid.rows)
    assert [one.name for one in blocks if isinstance(one, Picture)] == ["depth"]


def test_titles_tell_which_network_was_trained_for_how_long() -> None:
    short, long = points()[0], replace(points()[0], network="plain20", iteration=64_000)
    short = replace(short, network="resnet20-A", iteration=4000)
    assert extent([long]).startswith("64,000 iterations")
    assert extent([short]).startswith("4,000 of 64,000 iterations")
    told = "ResNet-20 4,000, plain-20 64,000 of 64,000 iterations"
    assert extent([long, short]).startswith(told)

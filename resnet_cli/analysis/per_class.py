"""Which classes a network errs on, and what it takes them for: as CSV for other programs, and a
confusion matrix as a picture.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_cli.evaluation.predictions import Predictions
from resnet_cli.runtime.files import write_whole

ERRORS, CONFUSION, PICTURE = "per_class.csv", "confusion.csv", "confusion.png"
_NAMED = 60  # classes whose names fit beside a picture
_COUNTED = 20  # classes whose counts fit into its cells


def confusion(labels: NDArray[np.int64], answers: NDArray[np.int64], *, classes: int) -> Any:
    """Counts [classes, classes]: how many images of each class (row) got each answer (column)."""
    counts = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(counts, (labels, answers), 1)
    return counts


def write_per_class(kept: Predictions, names: Sequence[str], folder: Path) -> list[Path]:
    """Writes the three files into `folder`, which is made where it is missing; returns them.

    `names`: of the network's outputs. Only those that are the class of an image, or the answer to
    one, are listed.
    """
    folder.mkdir(exist_ok=True)
    counts = confusion(kept.labels.numpy(), kept.scores.argmax(1).numpy(), classes=len(names))
    there = np.flatnonzero(counts.sum(axis=0) + counts.sum(axis=1))
    counts, names = counts[np.ix_(there, there)], [names[index] for index in there.tolist()]
    write_table(
        folder / ERRORS,
        ["class", "images", "errors", "error_percent", "mostly_taken_for", "times"],
        _errors(counts, names),
    )
    write_table(
        folder / CONFUSION,
        ["class \\ answer", *names],
        ([name, *row] for name, row in zip(names, counts.tolist(), strict=True)),
    )
    write_whole(folder / PICTURE, _picture(counts, names))
    return [folder / name for name in (PICTURE, ERRORS, CONFUSION)]


def _errors(counts: NDArray[np.int64], names: Sequence[str]) -> Iterable[list[object]]:
    """A row for each class there are images of."""
    for index, (name, row) in enumerate(zip(names, counts, strict=True)):
        if images := int(row.sum()):
            others = row.copy()
            others[index] = 0
            most = int(others.argmax())
            wrong = int(others.sum())
            told = [names[most], int(others[most])] if wrong else ["", 0]
            yield [name, images, wrong, f"{100 * wrong / images:.2f}", *told]


def write_predictions(kept: Predictions, names: Sequence[str], path: Path) -> None:
    """Writes a row for each image: its class, the likeliest one and its probability."""
    values, answers = (part.tolist() for part in kept.scores.max(dim=1))
    rows = zip(kept.paths, kept.labels.tolist(), answers, values, strict=True)
    write_table(
        path,
        ["image", "class", "answer", "probability", "right"],
        (
            [image, names[label], names[answer], f"{value:.4f}", int(label == answer)]
            for image, label, answer, value in rows
        ),
    )


def write_recognised(found: dict[str, list[tuple[str, float]]], path: Path) -> None:
    """Writes a row for each of a person's own pictures: the likeliest classes and probabilities."""
    most = max(map(len, found.values()))
    header = [name for number in range(1, most + 1) for name in (f"class{number}", f"p{number}")]
    rows = (
        [image, *(cell for name, p in likeliest for cell in (name, f"{p:.4f}"))]
        for image, likeliest in found.items()
    )
    write_table(path, ["image", *header], rows)


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A CSV file, whole or not at all."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_whole(path, text.getvalue())


def _picture(counts: NDArray[np.int64], names: Sequence[str]) -> bytes:
    """The confusion matrix; shades are shares of each row, numbers are images."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from resnet_cli.paper.draw import luminance

    side = min(12.0, 3.5 + 0.35 * len(names))
    figure = Figure(figsize=(side + 0.8, side), layout="constrained")
    axes = figure.add_subplot()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(100 * shares, cmap="Blues", vmin=0, vmax=100)
    figure.colorbar(image, ax=axes, label="% of the class", shrink=0.8)
    axes.set_xlabel("answer")
    axes.set_ylabel("class")
    if len(names) <= _NAMED:
        plain = [name.replace("$", r"\$") for name in names]  # which would begin a formula
        axes.set_xticks(range(len(names)), plain, rotation=90)
        axes.set_yticks(range(len(names)), plain)
    if len(names) <= _COUNTED:
        for (row, column), count in np.ndenumerate(counts):
            red, green, blue, _ = image.to_rgba(100 * shares[row, column])
            ground = luminance((red, green, blue)) + 0.05
            # whichever has the larger contrast, by WCAG at least 4.5
            color = "white" if 1.05 / ground > ground / 0.05 else "black"
            axes.text(column, row, f"{count:,}", ha="center", va="center", color=color)
    content = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(content, format="png", dpi=150)
    return content.getvalue()

"""What each word behind resnet-analyze does: open, measure, write, say."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from resnet_cli.analysis.lesion import lesions
from resnet_cli.analysis.measure import open_all, progress, set_up
from resnet_cli.analysis.subject import Subject
from resnet_cli.analysis.walk import images_of, measured, places
from resnet_cli.models.fold_bn import FoldedBN
from resnet_cli.paper.why import lesion as lesion_figure
from resnet_cli.paper.why.records import Lesion, Measured, to_csv
from resnet_cli.paper.why.style import save
from resnet_cli.runtime.files import write_whole

_COMMAND = "resnet-analyze"


def run(options: argparse.Namespace, paths: list[Path], overrides: list[str]) -> int:
    """Raises UserError and DataError."""
    subjects = open_all(paths, overrides)
    for one in subjects:  # before the data: a network without blocks is told at once
        places(one.network, image_size=one.image_size)
    _COMMANDS[options.what](options, subjects)
    return 0


def _lesion(options: argparse.Namespace, subjects: list[Subject]) -> None:
    bench = set_up(subjects, command=_COMMAND)
    split = images_of(bench, "test", options.images)
    rows: list[Lesion] = []
    for subject, (network, pixels) in zip(subjects, bench.subjects_here, strict=True):
        rows += lesions(
            FoldedBN(network).network,
            split,
            pixels,
            image_size=subject.image_size,
            ks=options.k,
            draws=options.draws,
            seed=options.seed,
            dtype=bench.dtype,
            of=measured(subject, bench, len(split)),
            progress=_bar(subject.name),
        )
    _write(options.out, lesion_figure.NAME, rows, lambda: lesion_figure.figure(rows))
    _say(lesion_figure.sentences(rows))


def _bar(name: str) -> Callable[[Any, int], Any]:
    return lambda steps, total: progress(steps, total=total, unit=f"batch of {name}")


def _write(
    out: Path,
    name: str,
    rows: Sequence[Measured],
    figure: Callable[[], Figure],
    formats: Sequence[str] = ("png",),
) -> None:
    """NAME.csv and NAME.png."""
    write_whole(out / f"{name}.csv", to_csv(rows))
    for path in [out / f"{name}.csv", *save(name, figure, out, formats)]:
        print(f"wrote {path}")


def _say(sentences: Sequence[str]) -> None:
    print("\n".join(filter(None, sentences)))


_COMMANDS: dict[str, Callable[[argparse.Namespace, list[Subject]], None]] = {"lesion": _lesion}

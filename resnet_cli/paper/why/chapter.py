"""The report's chapter "Why it works": what resnet-analyze left in the folders it is given."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from resnet_cli.paper.blocks import Block, Heading, Picture, Text
from resnet_cli.paper.prose import Code, Prose, prose, sentences
from resnet_cli.paper.reading import UNREADABLE
from resnet_cli.paper.runs import passed_over, title_of
from resnet_cli.paper.why import gradients, identity, landscape, lesion, paths
from resnet_cli.paper.why.records import (
    Gradient,
    Identity,
    Lesion,
    Measured,
    PathLength,
    Point,
    from_csv,
)
from resnet_cli.paper.why.style import extent, save

TITLE = "Why it works"
_INTRODUCTION = (
    "What resnet-analyze measured in trained networks. A figure tells of the networks and lengths "
    "of training that it names, and of no others."
)
# in the order of the argument: the record, the figure, the sentences
_KINDS: dict[str, tuple[type[Measured], str, Callable[[Any], Figure], Callable[[Any], list[str]]]]
_KINDS = {
    identity.NAME: (Identity, identity.TITLE, identity.figure, identity.sentences),
    gradients.NAME: (Gradient, gradients.TITLE, gradients.figure, gradients.sentences),
    lesion.NAME: (Lesion, lesion.TITLE, lesion.figure, lesion.sentences),
    paths.NAME: (PathLength, paths.TITLE, paths.figure, paths.sentences),
    landscape.NAME: (Point, landscape.TITLE, landscape.figure, landscape.sentences),
}
# what odd but readable numbers may raise where they are drawn
_CANNOT_DRAW = (*UNREADABLE, ArithmeticError, RuntimeError, IndexError, StopIteration)


@dataclass(frozen=True)
class Finding:
    """One file of resnet-analyze, drawn."""

    name: str  # of its files: `why-lesion`
    title: str
    caption: Prose


def files_below(roots: Sequence[Path]) -> list[tuple[str, Path]]:
    """Every file that has the name of one of resnet-analyze, in the order of the argument."""
    return [
        (kind, path)
        for kind in _KINDS
        for root in roots
        for path in ([root] if root.name == f"{kind}.csv" else sorted(root.rglob(f"{kind}.csv")))
    ]


def findings(
    roots: Sequence[Path], folder: Path, *, formats: Sequence[str]
) -> tuple[list[Finding], list[Prose]]:
    """Draws what is below `roots` into `folder`; returns it, and what had to be passed over."""
    found: list[Finding] = []
    notes: list[Prose] = []
    for kind, path in files_below(roots):
        record, title, figure, tell = _KINDS[kind]
        count = sum(one.name.startswith(f"why-{kind}") for one in found)
        name = f"why-{kind}" + (f"-{count + 1}" if count else "")
        try:
            rows = from_csv(record, path)
            told = tell(rows)
            save(name, lambda figure=figure, rows=rows: figure(rows), folder, formats)  # type: ignore[misc]
        except _CANNOT_DRAW as error:
            notes.append(passed_over(path, error))
            continue
        source = prose(f"{title_of(rows[0].dataset)}, {extent(rows)}; from ", Code(str(path)), ".")
        found.append(Finding(name, title, sentences(*told, source)))
    return found, notes


def chapter(found: Sequence[Finding]) -> list[Block]:
    """A figure and its sentences each; nothing where nothing was measured."""
    if not found:
        return []
    blocks: list[Block] = [Heading(TITLE), Text(_INTRODUCTION)]
    for one in found:
        blocks += [Heading(one.title, 3), Picture(one.name, one.title), Text(one.caption)]
    return blocks

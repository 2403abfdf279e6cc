"""What resnet-analyze measures, row by row, as CSV files that resnet-report reads again.

Errors are in percent; `seed` and `iteration` are empty for weights of another project.
"""

import csv
import dataclasses
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args

from resnet_cli.paper.reading import read_text

_LARGEST = 16 << 20  # bytes of a file: a landscape of 301 x 301 points takes 8 MiB

_MOST_BLOCKS = 10_000


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Of which network, and on how many images of which data."""

    network: str
    seed: int | None
    iteration: int | None
    dataset: str
    images: int

    @property
    def is_plain(self) -> bool:
        """Whether it has no shortcuts."""
        return is_plain(self.network)


def is_plain(network: str) -> bool:
    """Whether the network of this name has no shortcuts."""
    return network.startswith(("plain", "vgg"))


class Change(StrEnum):
    """What was done to the trained network."""

    intact = "intact"
    delete = "delete"  # one block's F deleted
    skipped = "skipped"  # nothing: without its F the block would not change dimensions
    random = "random"  # the F of k blocks drawn at random deleted
    swap = "swap"  # k pairs of blocks of the same shape exchanged


@dataclass(frozen=True, kw_only=True)
class Lesion(Measured):
    """The error of one network after one change."""

    change: Change
    k: int  # blocks deleted, or pairs exchanged
    draw: int
    blocks: str  # `layer1.0 layer2.3`
    position: int | None  # of the one block, from 1
    stage: int | None
    keeps_shape: bool  # the map's dimensions: whether all of `blocks` do
    kendall_tau: float  # between the order of the blocks and the trained one
    error: float | None  # None where it was skipped


@dataclass(frozen=True, kw_only=True)
class PathLength(Measured):
    """All paths of one length: how many there are, and what gradient they carry to x_0."""

    blocks: int
    length: int
    log10_paths: float
    share: float  # of all paths, in percent
    sampled: int
    path_norm: float  # ||dE/dx_0|| along one path: mean over sampled paths and images
    total: float  # paths times path_norm, in percent of the sum over all lengths
    sum_norm: float  # norm of the gradient summed over all paths of the length

    def __post_init__(self) -> None:
        """Raises ValueError for a length that no path has."""
        if not 0 <= self.length <= self.blocks <= _MOST_BLOCKS:
            raise ValueError(f"a path of length {self.length} through {self.blocks} blocks")


@dataclass(frozen=True, kw_only=True)
class Gradient(Measured):
    """The gradient at the map after one block; block 0 is the stem."""

    block: int
    stage: int
    norm: float  # ||dE/dx_l||, mean over images
    identity: float | None  # ||dE/dx_L||, the term that is carried unchanged within the stage
    additive: float | None  # ||dE/dx_L (1 + d/dx_l sum F)||
    deviation: float | None  # ||the latter - dE/dx_l|| / ||dE/dx_l||, over all images
    exact: bool  # pre-activation: the two are equal


@dataclass(frozen=True, kw_only=True)
class Identity(Measured):
    """A network of the constructed solution beside what training finds."""

    role: str  # `trained`, `constructed` or `deeper, trained`
    layers: int
    split: str
    error: float
    loss: float
    logit_difference: float | None  # the largest to the shallow network's logits, absolute


@dataclass(frozen=True, kw_only=True)
class Point(Measured):
    """The loss at one point of the plane through the weights; not finite where it overflows."""

    direction_seed: int
    weights: str  # hash of the network's tensors
    precision: str
    a: float
    b: float
    loss: float
    error: float


Row = TypeVar("Row", bound=Measured)


def to_csv(rows: Sequence[Measured]) -> str:
    """A header and a line for each row."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([one.name for one in dataclasses.fields(rows[0])])
    writer.writerows(line(row) for row in rows)
    return file.getvalue()


def line(row: Measured) -> list[Any]:
    """The row's cells: empty for None, floats with all their digits."""
    values = (getattr(row, one.name) for one in dataclasses.fields(row))
    return ["" if value is None else value for value in values]


def from_csv(kind: type[Row], path: Path) -> list[Row]:
    """`to_csv` undone. Raises OSError, and ValueError that names the line and the column."""
    reader = csv.reader(io.StringIO(read_text(path, largest=_LARGEST)))
    fields = {one.name: one.type for one in dataclasses.fields(kind)}
    if next(reader, None) != list(fields):
        raise ValueError("its columns are not those of resnet-analyze")
    rows = []
    for cells in reader:
        where = f"line {reader.line_num}"
        if len(cells) != len(fields):
            raise ValueError(f"{where} has {len(cells)} cells, expected {len(fields)}")
        named = zip(fields.items(), cells, strict=True)
        rows.append(
            kind(**{name: _parse(of, cell, f"{where}, {name}") for (name, of), cell in named})
        )
    if not rows:
        raise ValueError("it has no rows")
    return rows


def _parse(kind: Any, cell: str, where: str) -> Any:
    if isinstance(kind, UnionType):
        return None if cell == "" else _parse(get_args(kind)[0], cell, where)
    try:
        if kind is bool:
            return {"True": True, "False": False}[cell]
        value = kind(cell)
    except (ValueError, KeyError) as error:
        raise ValueError(f"{where}: {cell[:40]!r} does not fit") from error
    if isinstance(value, str) and (len(value) > 2000 or not value.isprintable()):
        raise ValueError(f"{where}: it does not print")
    if isinstance(value, int) and abs(value) > 10**12:
        raise ValueError(f"{where}: too large")
    if isinstance(value, float) and not math.isfinite(value) and not where.endswith(", loss"):
        raise ValueError(f"{where}: {cell[:40]} is not finite")
    return value

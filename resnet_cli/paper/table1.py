"""Table 1 of any network: its layers row by row, with what each costs for one image."""

from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from resnet_cli.models.comparison import AnyNetwork
from resnet_cli.models.complexity import layers
from resnet_cli.models.cost import Layer

_BYTES = 4  # of a value in float32
_HEADINGS = ("", "layer", "output", "layers", "parameters", "multiply-adds", "each", "map, MiB")
_WIDTHS = (-8, -30, 9, 7, 12, 15, 13, 9)  # left-aligned where negative


@dataclass(frozen=True, kw_only=True)
class Row:
    """Layers of one kind within a row of Table 1."""

    row: str
    layer: str  # 3x3, 64
    output: int  # pixels a side
    count: int
    parameters: int  # of all of them together, BN included
    multiply_adds: int
    multiply_adds_each: int
    activation_bytes: int  # of all their output maps in float32, before BN


def rows(net: AnyNetwork, *, image_size: int) -> list[Row]:
    """The rows of a network for images of `image_size` pixels a side."""
    there = list(layers(net, image_size=image_size))
    found = []
    for name, of_row in groupby(there, key=lambda layer: layer.row):
        kinds: dict[tuple[Any, ...], list[Layer]] = {}
        for layer in of_row:
            kinds.setdefault((_told(layer), layer.side, layer.multiply_adds), []).append(layer)
        found += [_row(name, kind) for kind in kinds.values()]
    return found


def _row(name: str, alike: list[Layer]) -> Row:
    first = alike[0]
    return Row(
        row=name,
        layer=_told(first),
        output=first.side,
        count=len(alike),
        parameters=sum(layer.parameters for layer in alike),
        multiply_adds=sum(layer.multiply_adds for layer in alike),
        multiply_adds_each=first.multiply_adds,
        activation_bytes=sum(layer.values for layer in alike) * _BYTES,
    )


def _told(layer: Layer) -> str:
    """`3x3, 128, stride 2`, `1x1, 256 (shortcut)`, `1000-d fc`."""
    if layer.row == "fc":
        return f"{layer.outputs}-d fc"
    stride = f", stride {layer.stride}" if layer.stride > 1 else ""
    groups = f", {layer.groups} groups" if layer.groups > 1 else ""
    shortcut = " (shortcut)" if layer.is_shortcut else ""
    return f"{layer.size}x{layer.size}, {layer.outputs}{groups}{stride}{shortcut}"


def as_plain(found: list[Row]) -> list[dict[str, Any]]:
    """The rows for JSON."""
    return [asdict(row) for row in found]


def as_text(found: list[Row]) -> str:
    """The rows for a person to read, with a line of sums."""
    lines = [_line(*_HEADINGS)]
    before = ""
    for row in found:
        lines.append(
            _line(
                row.row if row.row != before else "",
                row.layer,
                f"{row.output}x{row.output}",
                row.count,
                f"{row.parameters:,}",
                f"{row.multiply_adds:,}",
                f"{row.multiply_adds_each:,}",
                _mebibytes(row.activation_bytes),
            )
        )
        before = row.row
    sums = [sum(column) for column in zip(*map(_sums, found), strict=True)]
    count, weights, work, size = sums
    lines.append(_line("all", "", "", count, f"{weights:,}", f"{work:,}", "", _mebibytes(size)))
    return "\n".join(lines)


def _sums(row: Row) -> tuple[int, int, int, int]:
    return row.count, row.parameters, row.multiply_adds, row.activation_bytes


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:.2f}"


def _line(*cells: object) -> str:
    padded = (
        str(cell).ljust(-width) if width < 0 else str(cell).rjust(width)
        for cell, width in zip(cells, _WIDTHS, strict=True)
    )
    return " ".join(padded).rstrip()

"""A report's blocks on a terminal, as wide as that is; plain where stdout is a file."""

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text as Line

from resnet_cli.paper.blocks import Block, Folded, Grid, Heading, Items, Picture, Text
from resnet_cli.paper.prose import plain


class _Screen(Console):
    """Tells the command of a reader that has gone (`| head`), as `print` does; rich exits 1."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def show(blocks: Sequence[Block]) -> None:
    """Prints to stdout. Everything is text: neither rich's markup nor escape codes in it count."""
    if hasattr(sys.stdout, "reconfigure"):  # a terminal that knows no ± shows its code instead
        sys.stdout.reconfigure(errors="backslashreplace")
    console = _Screen(highlight=False, emoji=False)
    for block in blocks:
        _print(block, console)


def _print(block: Block, console: Console) -> None:
    match block:
        case Heading(text):
            console.print(Line(f"\n{plain(text)}", style="bold"))
        case Text(words):
            console.print(Line(plain(words), style="dim"))
        case Items(lines):
            for line in lines:
                console.print(Line(f"- {plain(line)}"))
        case Grid(header, rows):
            table = Table(box=None, pad_edge=False, header_style="bold", collapse_padding=True)
            for number, name in enumerate(header):
                table.add_column(Line(plain(name)), overflow="fold", no_wrap=number == 0)
            for row in rows:
                table.add_row(*(Line(plain(cell)) for cell in row))
            console.print(table)
        case Picture() | Folded():
            pass

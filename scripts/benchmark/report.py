"""What was found, as Markdown on the screen and in a file, and as JSON."""

import json
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from resnet_cli.runtime.files import write_whole

Figures = dict[str, Any]
Column = tuple[str, Callable[[Figures], str]]


class Report:
    """Both files are rewritten with every addition, so a benchmark that is killed leaves them."""

    def __init__(self, *, json_file: Path | None, markdown_file: Path | None) -> None:
        self.json_file, self.markdown_file = json_file, markdown_file
        self.figures: Figures = {}
        self.markdown = ""

    def add(self, markdown: str, figures: Figures) -> None:
        """Raises OSError if a file cannot be written."""
        print(markdown, flush=True)
        self.markdown += f"{markdown}\n"
        self.figures |= figures
        if self.json_file:
            write_whole(self.json_file, json.dumps(self.figures, indent=2) + "\n")
        if self.markdown_file:
            write_whole(self.markdown_file, self.markdown)


def speed(found: Figures, *values: float) -> str:
    """`values` with as many digits as the contestant's fastest round needs."""
    places = 1 if max(found["rounds"]) < 100 else 0
    return " - ".join(f"{value:,.{places}f}" for value in values)


def ratio(found: Figures) -> str:
    return "" if found["ratio"] is None else f"{found['ratio']:.2f}"


SPEED: tuple[Column, ...] = (
    ("images/s", lambda found: speed(found, found["images_per_second"])),
    ("min - max", lambda found: speed(found, min(found["rounds"]), max(found["rounds"]))),
    ("ratio", ratio),
)


def table(rows: Mapping[str, Figures], columns: Sequence[Column] = SPEED) -> str:
    """A Markdown table; a row without figures says why it has none."""
    lines = [["", *(title for title, _ in columns)], ["---"] * (1 + len(columns))]
    for name, found in rows.items():
        if "not_measured" in found:
            reason = textwrap.shorten(found["not_measured"].replace("|", "/"), 120)
            cells = [f"not measured: {reason}", *[""] * (len(columns) - 1)]
        else:
            cells = [form(found) for _, form in columns]
        lines.append([name, *cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def race_table(
    rows: Mapping[str, Figures], *, rounds: int, columns: Sequence[Column] = SPEED
) -> str:
    """The table of a race, with a line below it if the time was up before the last round."""
    done = {len(found["rounds"]) for found in rows.values() if "rounds" in found}
    cut = f"\n\nThe time was up after {min(done)} of {rounds} rounds." if done - {rounds} else ""
    return table(rows, columns) + cut


def listing(values: Mapping[str, Any], unit: str) -> str:
    """`resnet50 1.05 GiB, resnet152 not measured: the time was up`."""
    return ", ".join(
        f"{name} not measured: {value['not_measured']}"
        if isinstance(value, dict)
        else f"{name} {value:,.2f} {unit}"
        for name, value in values.items()
    )

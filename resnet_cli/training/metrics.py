"""metrics.jsonl, the log of a run, as whoever reads it finds it: a line for each log point."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from resnet_cli.runtime.parse import parse, parse_json

METRICS = "metrics.jsonl"
_LONGEST = 10_000  # characters of a line; what is longer is none of ours


def read_metrics(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The lines of a metrics.jsonl, and how many of them are broken.

    The last line of a killed run may be.
    """
    if not path.is_file():
        return [], 0
    lines, broken = [], 0
    with path.open(encoding="utf-8", errors="replace") as file:
        for text in _texts(file):
            try:
                lines.append(log_point(text))
            except ValueError:
                broken += 1
    return lines, broken


def _texts(file: TextIO) -> Iterator[str]:
    """The lines of a file; of a line that is too long to be ours, an empty one."""
    while text := file.readline(_LONGEST):
        whole = part = text
        while len(part) == _LONGEST and not part.endswith("\n"):
            whole, part = "", file.readline(_LONGEST)
        yield whole


def log_point(text: str) -> dict[str, Any]:
    """Figures under their names, `iteration` among them. Raises ValueError."""
    line = parse_json(text)
    iteration = line.pop("iteration", None) if isinstance(line, dict) else None
    return {
        "iteration": parse(int, iteration, "iteration"),
        **parse(dict[str, float], line, "the line"),
    }

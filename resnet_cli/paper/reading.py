"""Opening files that anybody may have written: regular ones of a sensible size, holding what they
should; everything else is an error in one line.
"""

import json
import math
from pathlib import Path
from typing import Any

import yaml

from resnet_cli.paper.prose import clean
from resnet_cli.runtime.files import read_regular
from resnet_cli.training.metrics import log_point

_MIB = 1 << 20
_LARGEST_LOG = 64 * _MIB  # 600,000 iterations at a point each hundred are 2
_LARGEST_JSON = 8 * _MIB  # data.json of 22,000 classes is under 1
_LARGEST_CONFIG = _MIB // 8
_LARGEST_NOTE = _MIB // 16

# What reading and checking a file may raise.
UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    RecursionError,
    OverflowError,
    yaml.YAMLError,
)


class _Loader(yaml.SafeLoader):
    """YAML without aliases: a few lines of them can stand for gigabytes."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise ValueError("aliases have no place in a config")
        return super().compose_node(parent, index)


def read_text(path: Path, *, largest: int) -> str:
    """A regular file's text. Raises OSError and ValueError, as `read_regular`."""
    return read_regular(path, largest=largest).decode(errors="replace")


def read_json(path: Path, *, any_shape: bool = False) -> dict[str, Any]:
    """A JSON object; with `any_shape` nothing where the file holds something else.

    Raises one of UNREADABLE.
    """
    content = json.loads(read_text(path, largest=_LARGEST_JSON))
    if any_shape and not isinstance(content, dict):
        return {}
    if not isinstance(content, dict):
        raise ValueError("not a JSON object")
    return content


def read_config(path: Path) -> dict[str, Any]:
    """A config.yaml. Raises one of UNREADABLE."""
    content = yaml.load(read_text(path, largest=_LARGEST_CONFIG), Loader=_Loader)
    if not isinstance(content, dict):
        raise ValueError("not a mapping")
    return content


def read_log(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The points of a metrics.jsonl, and how many of its lines are none."""
    points, broken = [], 0
    for line in read_text(path, largest=_LARGEST_LOG).splitlines():
        try:
            point = log_point(line)
            for name, value in point.items():
                if name.endswith("error"):
                    number(value, lowest=0, highest=100)
        except UNREADABLE:
            broken += 1
        else:
            points.append(point)
    return points, broken


def read_note(path: Path) -> str:
    """A person's note. Raises OSError or ValueError."""
    return read_text(path, largest=_LARGEST_NOTE)


def number(value: Any, *, lowest: float = -1e300, highest: float = 1e300) -> float:
    """A finite number in a range. Raises ValueError."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or not lowest <= value <= highest:
        raise ValueError(f"{_shown(value)} is no number from {lowest:g} to {highest:g}")
    return float(value)


def whole(value: Any, *, highest: int = 10**12) -> int:
    """A whole number from 0 on. Raises ValueError."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= highest:
        raise ValueError(f"{_shown(value)} is no whole number from 0 to {highest:,}")
    return value


def text(value: Any, *, otherwise: str = "unknown") -> str:
    """A string; `otherwise` for anything else."""
    return value if isinstance(value, str) and value else otherwise


def why(error: BaseException) -> str:
    """What is wrong with a file, in a line."""
    match error:
        case OSError():
            return clean(error.strerror or str(error))
        case KeyError():
            return f"it has no {clean(str(error.args[0]))}"
        case RecursionError():
            return "nested too deep"
        case json.JSONDecodeError():
            return f"no JSON: {error.msg} at line {error.lineno}"
    lines = str(error).splitlines() or [type(error).__name__]
    return clean(lines[0])[:200]


def _shown(value: Any) -> str:
    if isinstance(value, int) and abs(value) > 10**12:
        return "a large number"
    return clean(repr(value)[:40]) if isinstance(value, str | int | float) else type(value).__name__

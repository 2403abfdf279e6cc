"""The parts of `resnet-train --help` that follow from conf/ and the schema."""

import dataclasses
import textwrap
from collections.abc import Iterable
from typing import Any

from resnet_cli.config.experiments import recipe
from resnet_cli.config.keys import GROUPS, LAUNCHER, LAUNCHERS
from resnet_cli.config.schema import MISSING, Config, fields_of
from resnet_cli.runtime.conf import options

_KEY_COLUMN = 34  # characters; what is longer has its sentence on the next line
_HIDDEN = {"dataset.name"}  # follows from dataset=


def two_columns(pairs: Iterable[tuple[str, str]], *, width: int, first: int = _KEY_COLUMN) -> str:
    """Words and what they mean, the meaning wrapped."""
    lines = []
    for word, meaning in pairs:
        wrapped = textwrap.wrap(meaning, max(20, width - first - 2)) or [""]
        if len(word) < first:
            lines.append(f"  {word:<{first}}{wrapped.pop(0)}".rstrip())
        else:
            lines.append(f"  {word}")
        lines += [" " * (first + 2) + more for more in wrapped]
    return "\n".join(lines)


def groups_help(*, width: int) -> str:
    """Each group with its choices."""
    pairs = [(group, ", ".join(options(group))) for group in GROUPS if group != "tweak"]
    pairs.append((LAUNCHER, f"{', '.join(LAUNCHERS)} (of sweeps)"))
    return two_columns(pairs, width=width, first=len(LAUNCHER) + 2)


def keys_help(*, width: int) -> str:
    """Every key with its sentence, below what its group is about."""
    groups = {"": "The run as a whole."} | {
        f"{part.name}.": str(part.type.__doc__).partition("\n")[0]
        for part in dataclasses.fields(Config)
        if isinstance(part.type, type) and dataclasses.is_dataclass(part.type)
    }
    values = recipe("cifar10", "resnet20")
    sections = []
    for prefix, about in groups.items():
        pairs = [
            (_assignment(name, field, values=values), field.metadata["about"])
            for name, field in fields_of(Config)
            if name.rpartition(".")[0] == prefix.rstrip(".") and name not in _HIDDEN
        ]
        heading = textwrap.fill(about, width)
        sections.append(f"{heading}\n{two_columns(pairs, width=width)}")
    return "\n\n".join(sections)


def _assignment(name: str, field: dataclasses.Field[Any], *, values: dict[str, Any]) -> str:
    """`seed=0`: a key with its value in the default run, where that is more than nothing."""
    value = values.get(name, field.default)
    if value is None or value in ("", MISSING) or "${" in str(value):
        return name
    return f"{name}={str(value).lower() if isinstance(value, bool) else value}".replace(" ", "")

"""Prints the oldest versions that pyproject.toml allows a user, as constraints for pip.

python scripts/oldest.py > oldest.txt; PIP_CONSTRAINT=oldest.txt make install; .venv/bin/pytest
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

_BOUND = re.compile(r"(?P<name>[\w-]+)>=(?P<version>[\d.]+)")
_PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def oldest(project: Mapping[str, Any]) -> Iterator[str]:
    """`name==version` for each lower bound of a [project] table and its extras, `dev` excepted."""
    extras = project["optional-dependencies"].items()
    users = chain.from_iterable(bounds for extra, bounds in extras if extra != "dev")
    for bound in dict.fromkeys([*project["dependencies"], *users]):
        found = _BOUND.match(bound)
        assert found, f"{bound}: a lower bound is missing"
        yield f"{found['name']}=={found['version']}"


if __name__ == "__main__":
    print(*oldest(tomllib.loads(_PYPROJECT.read_text(encoding="utf-8"))["project"]), sep="\n")

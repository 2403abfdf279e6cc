"""Whatever a file holds, it is read into a value that fits, or refused in one line by its name.

Files are sound ones in which hypothesis breaks something; a seeded few here, many more where slow
tests run. What they found once is a test of its own beside the reader.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resnet_cli.runtime.errors import LONGEST, UserError
from tests.faults.kinds import KINDS

FEW = settings(
    max_examples=15,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
MANY = settings(FEW, max_examples=1000, derandomize=False)


@dataclass
class Tried:
    """How many files were broken."""

    count: int = 0


def hold(kind: str, folder: Path, how: Callable[[Any], Any], *, tried: Tried | None = None) -> None:
    """Breaks a file of that kind in many ways, and reads it. `how`: settings of hypothesis."""
    tried = tried or Tried()
    file = KINDS[kind]
    sound = file.make(folder)
    file.read(sound)
    kept = folder / "sound"
    shutil.copy(sound, kept)

    @how
    @given(st.data())
    def check(data: st.DataObject) -> None:
        tried.count += 1
        shutil.copyfile(kept, sound)
        file.break_it(data.draw, sound)
        try:
            file.read(sound)
        except UserError as error:
            line = str(error)
            assert str(folder) in line and len(line) <= LONGEST, line
            assert line.isprintable(), line

    check()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    return tmp_path


@pytest.mark.parametrize("kind", KINDS)
def test_a_broken_file_is_read_or_refused(kind: str, folder: Path) -> None:
    hold(kind, folder, FEW)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", KINDS)
def test_many_broken_files_are_read_or_refused(kind: str, folder: Path) -> None:
    hold(kind, folder, MANY)

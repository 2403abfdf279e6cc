"""A run that others are compared with."""

from pathlib import Path

import pytest

from tests.helpers.commands import TINY
from tests.helpers.processes import finish, spawn


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run left alone, of 24 iterations: milestones at 12 and 18, epochs of 9.4."""
    runs = tmp_path_factory.mktemp("undisturbed")
    code, _, err = finish(spawn(*TINY, f"runs={runs}"))
    assert code == 0, err
    return runs

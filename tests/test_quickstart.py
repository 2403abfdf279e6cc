"""The main job, whole: minutes, so not in the default suite."""

import json
import os
from pathlib import Path

import pytest

from tests.helpers.processes import spawn


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_quickstart_shows_degradation_and_its_cure(runs: Path) -> None:
    process = spawn(
        "experiment=quickstart", f"runs={runs}", env={"OMP_NUM_THREADS": str(os.cpu_count())}
    )
    out, err = process.communicate()
    assert process.returncode == 0, err
    results = {
        result["network"]: result
        for result in (json.loads(path.read_text()) for path in runs.rglob("result.json"))
    }
    train = {name: result["final"]["train_error"] for name, result in results.items()}
    test = {name: result["final"]["test_error"] for name, result in results.items()}
    # deeper is worse where it was trained: not over-fitting
    assert train["plain56"] > train["plain20"] + 10
    assert train["resnet56-A"] < train["plain56"] - 10
    assert test["resnet56-A"] < test["plain56"] - 10
    assert max(result["peak_memory_gib"] for result in results.values()) < 4
    assert "4 runs in" in out

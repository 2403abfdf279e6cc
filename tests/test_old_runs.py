"""Run folders of an older version (tests/old_runs/README) load, go on and are measured today, and
so do the results that this project shows.
"""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from resnet_cli.config.plain import from_plain
from resnet_cli.run.folder import RunFolder
from resnet_cli.training.records import read_result
from tests.helpers.commands import TINY, Command

OLD = Path(__file__).parent / "old_runs"
RESULTS = Path(__file__).parent.parent / "results"
FINISHED = "batch_size=32,dataset.test_images=150,dataset.train_images=300,schedule.iterations=24"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A copy, so that nothing is written into the recorded ones."""
    return Path(shutil.copytree(OLD, tmp_path / "old")) / "runs"


def test_a_finished_run_is_finished(command: Command, old: Path) -> None:
    again = command("resnet-train", *TINY, f"runs={old}")
    assert again.code == 0, again.err
    assert f"{FINISHED}/seed0 is finished: test error 87.33 %" in again.out


def test_a_stopped_run_goes_on_under_the_new_names_of_its_keys(command: Command, old: Path) -> None:
    (folder,) = old.rglob("seed1")
    before = (folder / "metrics.jsonl").read_text()
    assert "checkpointing: 'on'" in (folder / "config.yaml").read_text()
    words = ["schedule.iterations=60", "seed=1", "activation_checkpointing=true"]
    resumed = command("resnet-train", *TINY, *words, f"runs={old}")
    assert resumed.code == 0, resumed.err
    assert "resuming at iteration 4 from" in resumed.out
    result = RunFolder(folder).read_result()
    assert result is not None and (result.iterations, result.final.iteration) == (60, 60)
    lines = (folder / "metrics.jsonl").read_text()
    assert lines.startswith(before)
    assert [json.loads(line)["iteration"] for line in lines.splitlines()] == list(range(4, 61, 4))


def test_a_checkpoint_is_measured_as_it_was(command: Command, old: Path) -> None:
    """The errors that the older version's resnet-eval gave in fp32, whose roundings are a hundred
    times smaller than the least distance between two scores.
    """
    (folder,) = old.rglob("seed1")
    measured = command("resnet-eval", "--ckpt", folder, "precision=fp32")
    assert measured.code == 0, measured.err
    shown = json.loads(measured.out.splitlines()[-1])
    assert shown == {
        "top1_error": pytest.approx(100 * 134 / 150),
        "top5_error": pytest.approx(100 * 78 / 150),
        "count": 150,
    }


@pytest.mark.parametrize(
    "folder",
    sorted(path.parent for root in (OLD, RESULTS) for path in root.rglob("config.yaml")),
    ids=lambda folder: "/".join(folder.parts[-3:]),
)
def test_every_record_reads(folder: Path) -> None:
    config = from_plain(yaml.safe_load((folder / "config.yaml").read_text()))
    RunFolder(folder).read_data()
    if (folder / "result.json").is_file():
        result = read_result(folder / "result.json")
        assert (result.seed, result.iterations) == (config.seed, config.schedule.iterations)

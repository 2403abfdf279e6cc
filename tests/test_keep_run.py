"""`python -m scripts.keep_run`: a run that others read, or go on with, on their own machines."""

import os
import tarfile
from pathlib import Path

import pytest

from resnet_cli.run.folder import RunFolder
from resnet_cli.runtime.errors import UserError
from scripts import keep_run
from tests.helpers.commands import TINY, Command, last_line
from tests.helpers.numbers import assert_same
from tests.helpers.runs import ended, folder_of, kill_at, logged


def kept_bytes(folder: Path) -> bytes:
    """All that lies below a folder, one file after another."""
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_a_stopped_run_goes_on_elsewhere_as_if_it_had_not_stopped(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there, whole = tmp_path / "here/runs", tmp_path / "there/runs", tmp_path / "whole"
    words = [*TINY, f"dataset.root={tmp_path / 'of_this_machine'}"]
    with monkeypatch.context() as patched:
        kill_at(patched, 13)
        assert command("resnet-train", *words, f"runs={here}").code == 130
    run = folder_of(here)
    assert keep_run.main([str(run), "--results", str(tmp_path / "results")]) == 0
    (archive,) = (tmp_path / "results/unfinished").iterdir()
    assert logged(tmp_path / "results") == logged(here)
    drawn = command("resnet-report", tmp_path / "results", "--out", tmp_path / "report")
    assert drawn.code == 0 and "12 of 24, stopped" in drawn.out, drawn  # the last logged
    folder = there / run.relative_to(here).parent
    folder.mkdir(parents=True)
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    assert os.fsencode(tmp_path) not in kept_bytes(there)
    done = command("resnet-train", *TINY, f"runs={there}")
    assert done.code == 0 and "resuming at iteration 13" in done.out, done
    assert command("resnet-train", *TINY, f"runs={whole}").code == 0
    assert_same(ended(there), ended(whole))
    assert keep_run.main([str(folder_of(there)), "--results", str(tmp_path / "results")]) == 0
    assert not archive.exists()
    assert logged(tmp_path / "results") == logged(whole)


def test_a_finished_run_is_reported_and_measured_without_its_folder(
    command: Command, tmp_path: Path
) -> None:
    runs, results = tmp_path / "runs", tmp_path / "results"
    words = [*TINY, f"dataset.root={tmp_path}/data", "seed=3", f"runs={runs}"]
    assert command("resnet-train", *words).code == 0
    run = folder_of(runs)
    before = command("resnet-report", runs, "--out", tmp_path / "before")
    said = last_line(command("resnet-eval", "--ckpt", run, "precision=fp32"))
    assert keep_run.main([str(run), "--weights", "--results", str(results)]) == 0
    names = {"config.yaml", "metrics.jsonl", "result.json"}
    kept = folder_of(results)
    assert kept.relative_to(results) == run.relative_to(runs)
    assert {path.name for path in kept.iterdir()} == names
    assert os.fsencode(tmp_path) not in kept_bytes(results)
    run.rename(tmp_path / "gone")
    again = command("resnet-report", results, "--out", tmp_path / "after")
    assert (before.code, again.code) == (0, 0)
    report = (tmp_path / "before/report.md").read_text()
    told = report.replace(f"{tmp_path}/data", "data").replace(str(runs), "runs")
    assert (tmp_path / "after/report.md").read_text() == told
    (weights,) = (results / "weights").iterdir()
    assert weights.name.startswith("synthetic-resnet8-") and "-seed3." in weights.name
    assert last_line(command("resnet-eval", "--ckpt", weights)) == said


def test_a_run_that_ended_on_another_machine_is_measured_with_that_ones_data(
    command: Command, cifar10_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["model=resnet20", "model.depth=8", "batch_size=16", "schedule.iterations=2"]
    words += ["dataset.train_images=64", "dataset.test_images=32", f"runs={tmp_path / 'runs'}"]
    root = cifar10_root.absolute()
    assert command("resnet-train", *words, f"dataset.root={root}").code == 0
    run = folder_of(tmp_path / "runs")
    config = run / "config.yaml"  # an unpacked archive's
    config.write_text(config.read_text().replace(f"root: {root}", "root: data"))
    monkeypatch.delenv("RESNET_DATA", raising=False)
    monkeypatch.chdir(tmp_path)  # where there is no data/
    assert keep_run.main([str(run), "--results", "results"]) == 0
    assert (folder_of(tmp_path / "results") / "responses.json").is_file()


def test_a_run_that_is_being_trained_is_refused(tmp_path: Path) -> None:
    run = tmp_path / "runs/synthetic/plain20/seed0"
    (run / "checkpoints").mkdir(parents=True)
    (run / "checkpoints/last.pt").touch()
    (run / "config.yaml").write_text("dataset: {root: data}\nruns: runs\n")
    with RunFolder(run).locked(), pytest.raises(UserError, match=str(os.getpid())):
        keep_run.main([str(run), "--results", str(tmp_path / "results")])
    assert not (tmp_path / "results").exists()


def test_files_are_named_apart() -> None:
    """A shortened run, or another data set's, takes no file from the full one."""
    names = {
        "cifar10/plain56/seed0": "plain56-seed0",
        "cifar10/plain56/schedule.iterations=4000/seed0": "plain56-schedule.iterations=4000-seed0",
        "synthetic/plain56/seed0": "synthetic-plain56-seed0",
    }
    assert {place: keep_run.file_name(Path(place)) for place in names} == names


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere"], "nowhere is no run folder"),
        (["elsewhere/seed0"], "is not below runs/"),
        (["runs/seed0", "--weights"], "is not finished"),
    ],
)
def test_what_cannot_be_kept_is_refused_and_nothing_is_written(
    words: list[str],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for top in ("runs", "elsewhere"):
        (tmp_path / top / "seed0/checkpoints").mkdir(parents=True)
        (tmp_path / top / "seed0/checkpoints/last.pt").touch()
        (tmp_path / top / "seed0/config.yaml").write_text("dataset: {root: data}\nruns: runs\n")
    with pytest.raises(SystemExit) as stop:
        keep_run.main([*words, "--results", "results"])
    assert stop.value.code == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "results").exists()

"""Weights & Biases and MLflow get what metrics.jsonl holds, each point once, in one run each: read
from their own files, by their own code.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from resnet_cli.training import sinks
from resnet_cli.training.logbook import Logbook
from resnet_cli.training.sinks import Described, Sinks
from resnet_cli.training.trainer import Trainer
from tests.helpers.commands import TINY, Command, check_refused
from tests.helpers.numbers import assert_same
from tests.helpers.processes import PATIENCE, finish, spawn
from tests.helpers.runs import ended, folder_of, kill_at

Points = dict[str, dict[int, float]]  # by metric and iteration
NEEDED = {
    name: pytest.mark.skipif(find_spec(name) is None, reason=f"needs resnet-cli[{name}]")
    for name in sinks.SINKS
}
BOTH = [pytest.param(name, marks=NEEDED[name]) for name in sinks.SINKS]


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing leaves this machine, and everything is kept below the test's folder."""
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "WANDB_MODE": "offline",
        "WANDB_ERROR_REPORTING": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def records(path: Path) -> Iterable[Any]:
    """What a .wandb file holds: LevelDB's log format, whose pieces wandb's protobuf reads."""
    record = import_module("wandb.proto.wandb_internal_pb2").Record
    content, position, parts = path.read_bytes(), 7, b""  # behind the file's own header
    while position + 7 <= len(content):
        if (left := 32768 - position % 32768) < 7:  # the rest of a block
            position += left
            continue
        size = int.from_bytes(content[position + 4 : position + 6], "little")
        kind = content[position + 6]
        parts += content[position + 7 : position + 7 + size]
        position += 7 + size
        if kind in (1, 4):  # whole, or its last part
            yield record.FromString(parts)
            parts = b""


def read_wandb(folder: Path) -> tuple[set[str], dict[str, str], Points]:
    """Ids of the runs, hyperparameters, and points; a point that is there twice fails."""
    import_module("wandb").teardown()  # its process writes to the end
    ids: set[str] = set()
    config: dict[str, str] = {}
    points = Points()
    for path in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        for one in records(path):
            if one.HasField("run"):
                ids.add(one.run.run_id)
                config |= {item.key: item.value_json for item in one.run.config.update}
            for item in one.history.item if one.HasField("history") else ():
                name = item.key or "/".join(item.nested_key)
                if not name.startswith("_"):
                    of = points.setdefault(name, {})
                    assert one.history.step.num not in of
                    of[one.history.step.num] = json.loads(item.value_json)
    return ids, {key: str(json.loads(value)) for key, value in config.items()}, points


def read_mlflow(folder: Path) -> tuple[set[str], dict[str, str], Points]:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=Path("mlruns").absolute().as_uri())
    (experiment,) = client.search_experiments(filter_string="name = 'p'")
    kept = json.loads((folder / "sinks.json").read_text())["mlflow"]["run"]
    runs = client.search_runs([experiment.experiment_id])
    (run,) = (one for one in runs if one.info.run_id == kept)
    points = Points()
    for name in run.data.metrics:
        history = client.get_metric_history(kept, name)
        points[name] = {one.step: one.value for one in history}
        assert len(history) == len(points[name])
    assert run.info.status == "FINISHED"
    return {one.info.run_id for one in runs}, run.data.params, points


READ: dict[str, Callable[[Path], tuple[set[str], dict[str, str], Points]]] = {
    "wandb": read_wandb,
    "mlflow": read_mlflow,
}


def logged(folder: Path) -> Points:
    points = Points()
    for line in map(json.loads, (folder / "metrics.jsonl").read_text().splitlines()):
        iteration = line.pop("iteration")
        for name, value in line.items():
            points.setdefault(name, {})[iteration] = value
    return points


def without_speed(points: Points) -> Points:
    """A resumed run measures its speed anew for points that it repeats."""
    return {name: of for name, of in points.items() if name != "images_per_second"}


@pytest.mark.parametrize("sink", BOTH)
def test_a_stopped_run_is_one_run_there_and_keeps_its_bits(
    command: Command,
    runs: Path,
    undisturbed: Path,
    monkeypatch: pytest.MonkeyPatch,
    sink: str,
) -> None:
    words = [*TINY, f"{sink}=p", f"runs={runs}"]
    with monkeypatch.context() as patched:
        kill_at(patched, 13)
        assert command("resnet-train", *words).code == 130
    (folder_of(runs) / "checkpoints/last.pt").unlink()  # from 8: the point at 12 comes twice
    resumed = command("resnet-train", *words)
    assert (resumed.code, resumed.err) == (0, "")
    assert "resuming at iteration 8" in resumed.out
    folder = folder_of(runs)
    ids, hparams, points = READ[sink](folder)
    assert len(ids) == 1
    assert without_speed(points) == without_speed(logged(folder))
    assert sorted(points["images_per_second"]) == [4, 8, 12, 16, 20, 24]
    assert (hparams["model.depth"], hparams["shortcut"]) == ("8", "A")
    assert_same(ended(runs), ended(undisturbed))


@pytest.mark.parametrize("sink", BOTH)
def test_runs_that_take_turns_in_one_process_are_told_apart(tmp_path: Path, sink: str) -> None:
    books = []
    for seed in (0, 1):
        folder = tmp_path / f"seed{seed}"
        folder.mkdir()
        about = Described(name=folder.name, hparams={"seed": seed}, command="resnet-train")
        given = Sinks(folder, {sink: "p"}, about=about, warn=pytest.fail)
        books.append(Logbook(folder, iteration=0, family="plain", hparams={}, sinks=given))
    for iteration in (10, 20):
        for seed, book in enumerate(books):
            book.write(iteration, {"train/error": 50.0 - iteration + seed})
    for book in books:
        book.close()
    found = [READ[sink](tmp_path / f"seed{seed}") for seed in (0, 1)]
    assert [points for _, _, points in found] == [
        {"train/error": {10: 40.0 + seed, 20: 30.0 + seed}} for seed in (0, 1)
    ]
    assert [hparams["seed"] for _, hparams, _ in found] == ["0", "1"]
    assert len(set.union(*(ids for ids, _, _ in found))) == 2


@pytest.mark.slow
@NEEDED["wandb"]
@NEEDED["mlflow"]
def test_runs_side_by_side_are_told_apart(runs: Path) -> None:
    sweep = ["-m", *TINY, "seed=0,1", "wandb=p", "mlflow=p", f"runs={runs}"]
    sweep += ["hydra/launcher=local", "jobs_per_device=2"]
    code, _, err = finish(spawn(*sweep))
    assert code == 0, err
    folders = sorted(path.parent for path in runs.rglob("config.yaml"))
    found = [(read_wandb(folder), read_mlflow(folder)) for folder in folders]
    for folder, ((_, _, theirs), (_, _, others)) in zip(folders, found, strict=True):
        assert theirs == others == logged(folder)
    assert [len(set.union(*(ids[kind][0] for ids in found))) for kind in (0, 1)] == [2, 2]


@NEEDED["mlflow"]
def test_a_sink_that_is_asked_for_later_gets_all_points(tmp_path: Path) -> None:
    about = Described(name="p/seed0", hparams={"seed": 0}, command="resnet-train")
    for start, targets in ((0, {}), (20, {"mlflow": "p"}), (30, {"mlflow": "p"})):
        given = Sinks(tmp_path, targets, about=about, warn=pytest.fail)
        book = Logbook(tmp_path, iteration=start, family="plain", hparams={}, sinks=given)
        for iteration in (start + 10, start + 20):
            book.write(iteration, {"train/error": 100.0 - iteration})
        book.close()
    ids, _, points = read_mlflow(tmp_path)
    assert len(ids) == 1
    assert points == {"train/error": {n: 100.0 - n for n in (10, 20, 30, 40, 50)}}


@NEEDED["mlflow"]
def test_a_store_that_is_gone_costs_a_line(
    command: Command, runs: Path, undisturbed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Trainer.after_step

    def after_step(self: Trainer) -> None:
        original(self)
        if self.progress.iteration == 10:
            shutil.rmtree("mlruns")

    monkeypatch.setattr(Trainer, "after_step", after_step)
    done = command("resnet-train", *TINY, "mlflow=p", f"runs={runs}")
    check_refused(done, 0, "mlflow fails (", "training goes on without it")
    assert_same(ended(runs), ended(undisturbed))


KILLED = """
import os, signal, sys
from pathlib import Path
from resnet_cli.training.sinks import Described, Sinks
about = Described(name="p", hparams={}, command="")
warn = lambda told: print(told, file=sys.stderr)
book = Sinks(Path.cwd(), {"wandb": "p"}, about=about, warn=warn)
book.write([(10, {"train/error": 1.0})])
(service,) = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
os.kill(int(service), signal.SIGKILL)
os.waitid(os.P_PID, int(service), os.WEXITED | os.WNOWAIT)
for iteration in range(20, 60, 10):
    book.write([(iteration, {"train/error": 1.0})])
book.close(finished=True)
"""


@NEEDED["wandb"]
def test_wandbs_own_process_that_is_gone_costs_a_line() -> None:
    words = [sys.executable, "-c", KILLED]
    done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (0, 1), done.stderr
    assert done.stderr.startswith("wandb fails (")


@NEEDED["mlflow"]
def test_a_server_that_does_not_answer_costs_a_line(
    command: Command, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    done = command("resnet-train", *TINY, "mlflow=p", f"runs={runs}")
    check_refused(done, 0, "mlflow fails (", "127.0.0.1")


@NEEDED["wandb"]
def test_nobody_logged_in_is_refused(
    command: Command, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_module("wandb").teardown()  # it reads its environment once
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    done = command("resnet-train", *TINY, "wandb=p", f"runs={runs}")
    import_module("wandb").teardown()
    check_refused(done, 2, "wandb=p: nobody is logged in; run `wandb login`")


@pytest.mark.parametrize("sink", sinks.SINKS)
def test_a_missing_package_is_told_before_anything_begins(
    command: Command, runs: Path, monkeypatch: pytest.MonkeyPatch, sink: str
) -> None:
    monkeypatch.setattr(sinks, "find_spec", lambda _: None)
    done = command("resnet-train", *TINY, f"{sink}=p", f"runs={runs}")
    check_refused(done, 2, f"{sink}=p needs {sink}", f"pip install 'resnet-cli[{sink}]'")
    assert not runs.exists()
    done = command("resnet-train", *TINY, f"{sink}=true", f"runs={runs}")
    check_refused(done, 2, f"{sink}=true: name the ", f"as in {sink}=resnet")

"""Machines as they are: what a user meets on containers, clusters and full disks."""

import errno
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from resnet_cli.data import prefetch, streaming
from resnet_cli.evaluation.choices import Views
from resnet_cli.evaluation.protocol import Protocol
from resnet_cli.runtime.errors import DataError
from tests.data.trees import write_folders
from tests.faults.kinds import OLD_RUNS
from tests.helpers.commands import TINY, Command, Outcome, check_refused
from tests.test_imagenet import SMALL

SHORT = [*TINY, "schedule.iterations=4", "eval_every=4", "checkpoint_every=4"]


def run_command(
    *words: object, before: str = "", command: str = "train", **options: Any
) -> Outcome:
    """A command in a shell of its own, after the shell commands `before`."""
    quoted = [sys.executable, "-m", f"resnet_cli.{command}", *map(str, words)]
    script = f'{before}\nexec "$@"'
    done = subprocess.run(
        ["bash", "-c", script, "bash", *quoted],
        capture_output=True,
        text=True,
        timeout=200,
        **options,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def mounted(how: str, *words: object) -> Outcome:
    """resnet-train on a machine whose /dev/shm was mounted with the options `how`."""
    inside = ["unshare", "--user", "--map-root-user", "--mount"]
    mount = f"mount -t tmpfs -o {how} tmpfs /dev/shm"
    if (
        not shutil.which("unshare")
        or subprocess.run([*inside, "bash", "-c", mount], capture_output=True).returncode
    ):
        pytest.skip("this user may not mount")
    run = f'{mount} && exec "$@"'
    words = (*inside, "bash", "-c", run, "bash", sys.executable, "-m", "resnet_cli.train", *words)
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=200)
    return Outcome(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    root = write_folders(tmp_path_factory.mktemp("photographs"))
    return [
        *SMALL,
        "batch_size=8",
        "dataset.image_size=64",
        "dataset.workers=2",
        f"dataset.root={root}",
    ]


def figures(runs: Path) -> list[dict[str, float]]:
    (path,) = runs.rglob("metrics.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "images_per_second"} for line in lines]


def test_a_tiny_shared_memory_costs_no_bit(
    command: Command, photographs: list[str], tmp_path: Path
) -> None:
    """Four batches of 98 kB are in flight: the old way lost one, and waited for ever."""
    tiny = mounted("size=256k", *photographs, f"runs={tmp_path / 'tiny'}")
    assert (tiny.code, tiny.err) == (0, "")
    usual = command("resnet-train", *photographs, "dataset.workers=0", f"runs={tmp_path / 'usual'}")
    assert usual.code == 0, usual.err
    assert figures(tmp_path / "tiny") == figures(tmp_path / "usual")


def test_no_shared_memory_is_told(photographs: list[str], tmp_path: Path) -> None:
    refused = mounted("ro", *photographs, f"runs={tmp_path}")
    check_refused(refused, 1, "dataset.workers=0", "/dev/shm")


@pytest.mark.parametrize(("code", "when"), [(errno.EIO, 2), (errno.ESTALE, 5)])
def test_a_failing_disk_is_told_and_the_same_command_goes_on(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, when: int
) -> None:
    """The files of a start are written at 1 to 3, checkpoints after that. test_faults.py has far
    more, where there is a compiler.
    """
    calls = 0
    sync = os.fsync

    def fail(number: int) -> None:
        nonlocal calls
        calls += 1
        if calls == when:
            raise OSError(code, os.strerror(code))
        sync(number)

    words = [*TINY, "schedule.iterations=8", "eval_every=4", "checkpoint_every=2"]
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        check_refused(
            command("resnet-train", *words, f"runs={tmp_path / 'a'}"), 1, str(tmp_path / "a")
        )
    assert command("resnet-train", *words, f"runs={tmp_path / 'a'}").code == 0
    assert command("resnet-train", *words, f"runs={tmp_path / 'b'}").code == 0
    assert figures(tmp_path / "a") == figures(tmp_path / "b")


def test_a_folder_that_is_deleted_while_it_trains(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0
    sync = os.fsync

    def delete(number: int) -> None:
        nonlocal calls
        calls += 1
        sync(number)
        if calls == 4:
            shutil.rmtree(tmp_path / "runs")

    monkeypatch.setattr(os, "fsync", delete)
    words = [*TINY, "schedule.iterations=8", "checkpoint_every=2", f"runs={tmp_path / 'runs'}"]
    check_refused(command("resnet-train", *words), 1, str(tmp_path / "runs"), "deleted or moved")
    assert not (tmp_path / "runs").exists()


def test_a_limit_on_the_size_of_files_prints_no_traceback(command: Command, tmp_path: Path) -> None:
    """TensorBoard writes in a thread of its own, and meets the limit first."""
    words = [*TINY, "schedule.iterations=400", "log_every=1", "eval_every=400"]
    words += ["checkpoint_every=400", f"runs={tmp_path}"]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16_384, hard))  # as ulimit -f 16
    try:
        refused = command("resnet-train", *words)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    check_refused(refused, 1, str(tmp_path), "ulimit -f")


@pytest.mark.slow
def test_few_descriptors_are_told(photographs: list[str], tmp_path: Path) -> None:
    words = [*photographs, "dataset.workers=4", f"runs={tmp_path}"]
    check_refused(run_command(*words, before="ulimit -n 20"), 1, "ulimit -n")


ASCII = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
ASCII |= {"PYTHONIOENCODING": "ascii:strict"}


def test_ascii(tmp_path: Path) -> None:
    refused = run_command(*SHORT, f"runs={tmp_path}/l\u00e4ufe", env=ASCII)
    check_refused(refused, 2, "LC_ALL=C.UTF-8")
    for words in (["resnet20"], ["--json", "plain56"]):
        assert run_command(*words, command="info", env=ASCII).code == 0
    told = run_command(OLD_RUNS, "--out", tmp_path / "out", command="report", env=ASCII)
    assert told.code == 0, told.err
    assert "\u00b1" in (tmp_path / "out/report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_training_and_testing_in_ascii(tmp_path: Path) -> None:
    trained = run_command(*SHORT, f"runs={tmp_path}", env=ASCII)
    assert (trained.code, trained.err) == (0, "")
    (folder,) = (path.parent for path in tmp_path.rglob("result.json"))
    tested = run_command("--ckpt", folder, command="evaluate", env=ASCII)
    assert tested.code == 0, tested.err


def test_closed_streams() -> None:
    closed = run_command("resnet20", command="info", before="exec >&-")
    assert (closed.code, closed.err) == (0, "")
    assert run_command("resnet20", command="info", before="exec >&- 2>&-").code == 0


@pytest.mark.slow
def test_training_with_closed_streams(tmp_path: Path) -> None:
    assert run_command(*SHORT, f"runs={tmp_path}", before="exec >&- 2>&-").code == 0


def test_loader_processes_that_hang_are_told(
    command: Command, photographs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a file server that no longer answers: PyTorch would wait for ever."""
    monkeypatch.setattr(prefetch, "_SILENT_FOR", 1.0)
    monkeypatch.setattr(streaming, "open_photograph", lambda *_: time.sleep(1000))
    refused = command("resnet-train", *photographs, f"runs={tmp_path}")
    check_refused(refused, 1, "sent nothing for 1.0 seconds", "the same command continues")


def test_a_photograph_too_thin_for_the_dense_test_is_told() -> None:
    """640 x 1,920,000 pixels, and their maps: 180 GB."""
    dense = Protocol(views=Views.dense, image_size=224)
    with pytest.raises(DataError, match="3000 x 1 pixels are too thin"):
        dense.make_views(Image.new("RGB", (3000, 1)))
    assert len(dense.make_views(Image.new("RGB", (300, 10)))) == 5


@pytest.mark.parametrize("value", ["", "0", "none"])
def test_a_broken_number_of_threads_is_none(value: str) -> None:
    told = run_command("resnet20", command="info", env=os.environ | {"OMP_NUM_THREADS": value})
    assert (told.code, told.err) == (0, "")

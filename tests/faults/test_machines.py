"""Machines as they are: what a user meets on containers, clusters and full disks."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import TINY, Outcome, check_refused
from tests.data.trees import write_folders
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


def test_a_tiny_shared_memory_costs_no_bit(photographs: list[str], tmp_path: Path) -> None:
    """Four batches of 98 kB are in flight: the old way lost one, and waited for ever."""
    tiny = mounted("size=256k", *photographs, f"runs={tmp_path / 'tiny'}")
    assert (tiny.code, tiny.err) == (0, "")
    usual = run_command(*photographs, "dataset.workers=0", f"runs={tmp_path / 'usual'}")
    assert usual.code == 0, usual.err
    assert figures(tmp_path / "tiny") == figures(tmp_path / "usual")


def test_no_shared_memory_is_told(photographs: list[str], tmp_path: Path) -> None:
    refused = mounted("ro", *photographs, f"runs={tmp_path}")
    check_refused(refused, 1, "dataset.workers=0", "/dev/shm")

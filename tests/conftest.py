"""What many tests share: the commands as a user calls them, tiny runs, and the real data where
it is.
"""

import os

# before torch wakes: networks this small gain nothing from threads, and two processes would fight
os.environ["OMP_NUM_THREADS"] = "1"

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from resnet_cli import evaluate, info, report, train
from resnet_cli.runtime.errors import run_command

COMMANDS = {"resnet-train": train.main_checked, "resnet-eval": evaluate.main_checked}
COMMANDS |= {"resnet-info": info.main_checked, "resnet-report": report.main_checked}

# Ten layers, a few hundred pictures: a run of seconds that goes through everything.
TINY = [
    "model=resnet20",
    "model.depth=8",
    "dataset=synthetic",
    "dataset.train_images=300",
    "dataset.test_images=150",
]
TINY += [
    "batch_size=32",
    "schedule.iterations=24",
    "log_every=4",
    "eval_every=12",
    "checkpoint_every=8",
    "device=cpu",
]


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str


def check_refused(outcome: Outcome, code: int, *parts: str) -> None:
    """One clear line on stderr that holds `parts`, and the exit code."""
    assert outcome.code == code, outcome
    assert outcome.err.count("\n") == 1, outcome.err
    for part in parts:
        assert part in outcome.err


def saved_values(path: Path) -> dict[str, Any]:
    """What a checkpoint file holds, as PyTorch reads it."""
    return dict(torch.load(path, weights_only=True))


Command = Callable[..., Outcome]


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs a command in this process: `command("resnet-train", "model=plain20")`."""

    def run(name: str, *arguments: object) -> Outcome:
        words = [str(word) for word in arguments]
        monkeypatch.setattr(sys, "argv", [name, *words])
        capfd.readouterr()
        try:
            code = run_command(name, lambda: COMMANDS[name](words))
        except SystemExit as stop:
            code = int(stop.code or 0)
        return Outcome(code, *capfd.readouterr())

    return run


def spawn(
    *arguments: object, env: dict[str, str] | None = None, **options: Any
) -> subprocess.Popen[str]:
    """resnet-train in a process of its own, to be killed."""
    words = [sys.executable, "-m", "resnet_cli.train", *map(str, arguments)]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"} | (env or {})
    return subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, **options
    )


@pytest.fixture(scope="session", autouse=True)
def caches(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Indices of made-up folders do not go where a person's are kept."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("caches"))


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture(scope="session")
def cifar10_root() -> Path:
    """The folder with the real CIFAR-10; skips where there is none."""
    root = Path(os.environ.get("RESNET_DATA", "data"))
    if not (root / "cifar-10-batches-py" / "test_batch").is_file():
        pytest.skip(
            "needs the real CIFAR-10: set RESNET_DATA to the folder that holds cifar-10-batches-py/"
        )
    return root


def real_folder(name: str) -> Path:
    root = Path(os.environ.get("RESNET_DATA", "data")) / name
    if not root.is_dir():
        pytest.skip(f"needs real photographs: set RESNET_DATA to the folder that holds {name}/")
    return root


@pytest.fixture(scope="session")
def imagenet_sample() -> Path:
    """200 photographs of ImageNet's validation set at their own size: `val/<wnid>/*.JPEG`."""
    return real_folder("imagenet-sample")


@pytest.fixture(scope="session")
def tiny_imagenet() -> Path:
    """20 classes of Tiny ImageNet, 64 x 64: `train|val/<wnid>/*.JPEG`, 500 and 50 each."""
    return real_folder("tiny-imagenet-20")

"""What many tests share: the commands as a user calls them, and the real data where it is."""

import os

# Before torch wakes: networks this small gain nothing from threads, and two processes would fight.
# `make test-portable` sets others.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import signal
import sys
from pathlib import Path

import pytest
import torch

# A suite under nohup ignores SIGHUP, and so would the programs that it starts.
signal.signal(signal.SIGHUP, signal.SIG_DFL)

pytest.register_assert_rewrite("tests.helpers", "tests.launch.ranks", "tests.launch.small_sweep")

from resnet_cli import analyze, evaluate, info, report
from resnet_cli.runtime.errors import run_command
from resnet_cli.train import main_checked as train_main
from tests.helpers.commands import Command, Outcome

COMMANDS = {"resnet-train": train_main, "resnet-eval": evaluate.main_checked}
COMMANDS |= {"resnet-info": info.main_checked, "resnet-report": report.main_checked}
COMMANDS |= {"resnet-analyze": analyze.main_checked}


@pytest.fixture(autouse=True)
def seeded() -> None:
    """A test draws the same numbers whatever ran before it."""
    torch.manual_seed(0)


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

"""resnet-analyze before it does anything: quick to start, clear about what it is not given."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.commands import Command, check_refused

WORDS = ("lesion", "paths", "gradients", "identity", "landscape")


def test_help_does_not_wake_pytorch() -> None:
    code = """
import contextlib, sys
from resnet_cli.analyze import main_checked
with contextlib.suppress(SystemExit):
    main_checked(["--help"])
print(sorted({"torch", "hydra", "matplotlib"} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert all(f"resnet-analyze {word} --ckpt" in done.stdout for word in WORDS)


@pytest.mark.parametrize("word", WORDS)
def test_bad_usage(command: Command, tmp_path: Path, word: str) -> None:
    assert command("resnet-analyze", word).code == 2  # argparse's own words
    out = ["--out", tmp_path / "out"]
    check_refused(command("resnet-analyze", word, "--ckpt", "a=1", *out), 2, "name a run folder")
    check_refused(command("resnet-analyze", word, "--ckpt", tmp_path / "no.pt", *out), 2, "no.pt")
    (tmp_path / "file").touch()
    check_refused(
        command("resnet-analyze", word, "--ckpt", tmp_path, "--out", tmp_path / "file" / "x"), 2,
        "cannot make this folder",
    )  # fmt: skip

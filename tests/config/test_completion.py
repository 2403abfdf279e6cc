"""TAB, as a shell asks for it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from resnet_cli.config.completion import candidates
from resnet_cli.runtime.conf import options
from tests.helpers.commands import Command, check_refused


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("resnet-train shortcut=", ["none", "A", "B", "C"]),
        ("resnet-train model=plain20 precision=b", ["bf16"]),
        ("resnet-train dataset.download=", ["true", "false"]),
        ("resnet-train model.stem=", ["cifar", "imagenet", "null"]),
        ("resnet-train model.stride_in=", ["1x1", "3x3"]),
        ("resnet-train resume=a", ["auto"]),
        ("resnet-train hydra/launcher=l", ["local"]),
        ("resnet-train dataset=", options("dataset")),
        ("resnet-train -m model=plain20,plain1", ["plain20,plain18", "plain20,plain110"]),
        ("resnet-train dataset.root=", []),  # the shell completes files
        ("resnet-train seed=", []),
    ],
)
def test_values(line: str, found: list[str]) -> None:
    key = line.rpartition(" ")[2].partition("=")[0]
    assert candidates(line, flags=[]) == [f"{key}={value}" for value in found]


def test_keys_and_flags() -> None:
    assert candidates("resnet-train opt", flags=[]) == [
        "optimizer=",
        "optimizer.lr=",
        "optimizer.momentum=",
        "optimizer.weight_decay=",
        "optimizer.nesterov=",
    ]
    assert candidates("resnet-train --m", flags=["--multirun", "-m"]) == ["--multirun"]


def test_bash_completes(tmp_path: Path) -> None:
    """The script that is installed, in bash: what readline would put behind the `=`."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("needs bash")
    program = tmp_path / "resnet-train"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m resnet_cli.train "$@"\n')
    program.chmod(0o755)
    script = (
        f'PATH="{tmp_path}:$PATH"\n'
        'eval "$(resnet-train --shell-completion install=bash)"\n'
        'COMP_LINE="resnet-train shortcut="; COMP_POINT=${#COMP_LINE}\n'
        "_resnet_train; echo ${COMPREPLY[@]}\n"
        'COMP_LINE="resnet-train sche"; COMP_POINT=${#COMP_LINE}\n'
        "_resnet_train; echo ${COMPREPLY[0]}\n"
        "complete -p resnet-train\n"
    )
    done = subprocess.run([bash, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "none A B C",
        "schedule=",
        "complete -o default -F _resnet_train resnet-train",
    ], done.stderr


def test_an_unknown_shell_is_one_line(command: Command) -> None:
    check_refused(command("resnet-train", "--shell-completion", "install=fsh"), 2, "'fish'")
    check_refused(command("resnet-train", "--shell-completion"), 2, "install=bash")

"""What answers at once: nothing heavy is imported for it."""

import os
import re
import subprocess
import sys

import pytest

HEAVY = {"torch", "torchvision", "tensorboard", "matplotlib", "numpy", "PIL"}
ANSWERS = {
    "help": ("resnet_cli.train", ["--help"], 0, HEAVY | {"hydra"}),
    "typo": ("resnet_cli.train", ["modle=resnet20"], 2, HEAVY),
    "wrong value": ("resnet_cli.train", ["batch_size=0"], 2, HEAVY),
    "TAB": ("resnet_cli.train", ["--shell-completion", "query=bash"], 0, HEAVY | {"hydra"}),
    "info": ("resnet_cli.info", [], 0, HEAVY | {"hydra"}),
    "layers": ("resnet_cli.info", ["resnet50", "--layers"], 0, HEAVY | {"hydra"}),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_quick_answer_imports_nothing_heavy(answer: str) -> None:
    module, arguments, code, heavy = ANSWERS[answer]
    words = [sys.executable, "-X", "importtime", "-m", module, *arguments]
    environment = os.environ | {"COMP_LINE": "resnet-train shortcut=", "COMP_POINT": "22"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    imported = set(re.findall(r"import time: +\d+ \| +\d+ \| +(\w+)", done.stderr))
    assert "resnet_cli" in imported  # the lines are read as they are written
    assert imported & heavy == set()

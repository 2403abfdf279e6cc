"""What answers at once: nothing heavy is imported for it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import resnet_cli

RUNS = Path(resnet_cli.__file__).parent.parent / "results" / "cifar10"
HEAVY = {"torch", "torchvision", "tensorboard", "matplotlib", "numpy", "PIL"}
ANSWERS = {
    "help": ("resnet_cli.train", ["--help"], 0, HEAVY | {"hydra"}),
    "typo": ("resnet_cli.train", ["modle=resnet20"], 2, HEAVY),
    "wrong value": ("resnet_cli.train", ["batch_size=0"], 2, HEAVY),
    "TAB": ("resnet_cli.train", ["--shell-completion", "query=bash"], 0, HEAVY | {"hydra"}),
    "info": ("resnet_cli.info", [], 0, HEAVY | {"hydra"}),
    "layers": ("resnet_cli.info", ["resnet50", "--layers"], 0, HEAVY | {"hydra"}),
    "help to measure": ("resnet_cli.evaluate", ["--help"], 0, HEAVY | {"hydra"}),
    "no such run": ("resnet_cli.evaluate", ["--ckpt", "nowhere"], 2, HEAVY | {"hydra"}),
    "help to see why": ("resnet_cli.analyze", ["paths", "--help"], 0, HEAVY | {"hydra"}),
    "no such run to look into": ("resnet_cli.analyze", ["paths", "--ckpt", "x"], 2, HEAVY),
    "no such folder": ("resnet_cli.report", ["nowhere"], 2, {"torch", "torchvision"}),
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


def test_a_report_of_what_was_measured_imports_no_pytorch(tmp_path: Path) -> None:
    """The runs kept here, Figure 7's numbers beside them."""
    words = [sys.executable, "-X", "importtime", "-m", "resnet_cli.report", str(RUNS)]
    done = subprocess.run([*words, "--out", str(tmp_path)], capture_output=True, text=True)
    assert (tmp_path / "figure7.png").is_file(), done.stderr
    imported = set(re.findall(r"import time: +\d+ \| +\d+ \| +(\w+)", done.stderr))
    assert "matplotlib" in imported
    assert imported & {"torch", "torchvision"} == set()


def test_what_trains_and_measures_wakes_no_compiler() -> None:
    """Its own import takes as long as all of PyTorch's; torchvision's brings it along."""
    words = "import sys, torch\nbefore = set(sys.modules)\n"
    words += "import resnet_cli.launch.start, resnet_cli.analysis.answers\n"
    words += "print(sorted({'torch._dynamo', 'torchvision'} & (set(sys.modules) - before)))"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"

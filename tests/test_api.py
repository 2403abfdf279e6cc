"""`import resnet_cli` in a notebook, and the notebook in docs/."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
import torch

import resnet_cli
from resnet_cli.data import synthetic
from resnet_cli.runtime.errors import UserError
from tests.helpers.commands import TINY, Command, last_line

ROOT = Path(__file__).parent.parent


def test_importing_it_imports_nothing_heavy() -> None:
    code = "import resnet_cli, sys; print(sorted(sys.modules)); resnet_cli.runs; print('torch' in "
    words = [sys.executable, "-c", f"{code} sys.modules)"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    before, after = done.stdout.splitlines()
    assert not {"torch", "numpy", "hydra", "matplotlib"} & set(eval(before))
    assert after == "True"


@pytest.mark.parametrize(
    ("name", "shortcut", "millions"),  # Table 6; and torchvision's ResNet-18
    [("resnet20", "A", 0.27), ("resnet56", "A", 0.85), ("resnet110", "A", 1.7)],
)
def test_a_model(name: str, shortcut: str, millions: float) -> None:
    network = resnet_cli.model(name, shortcut=shortcut)
    count = sum(weight.numel() for weight in network.parameters())
    assert count / 1e6 == pytest.approx(millions, rel=0.05)
    again = resnet_cli.model(name, shortcut=shortcut)
    assert torch.equal(again.conv1.weight, network.conv1.weight)
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_a_model_there_is_not() -> None:
    with pytest.raises(ValueError, match="did you mean 'resnet20'"):
        resnet_cli.model("resnet21")
    assert resnet_cli.model("resnet20", num_classes=7).fc.out_features == 7
    with pytest.raises(AttributeError, match="no attribute 'modle'"):
        _ = resnet_cli.modle


def test_training_loading_and_reading(command: Command, runs: Path) -> None:
    """The same run as the command's, the same errors as resnet-eval's."""
    run = resnet_cli.train(*TINY, runs=runs, seed=3, precision="fp32")
    assert (run.network, run.seed, run.state, run.iterations) == ("resnet8-A", 3, "finished", 24)
    result = json.loads((run.folder / "result.json").read_text())
    assert run["test/error"].value[-1] == result["final"]["test_error"]
    assert run["test/error"].iteration.tolist() == [12, 24]
    assert run["train/error"].iteration.tolist() == list(range(4, 25, 4))
    with pytest.raises(KeyError, match=r"val/error: .* has epoch"):
        _ = run["val/error"]
    words = [*TINY, f"runs={runs}", "seed=3", "precision=fp32"]
    assert "is finished" in command("resnet-train", *words).out

    loaded = resnet_cli.load(run.folder)
    images, labels = synthetic.draw(150, seed=1)
    scores = loaded(images)
    assert loaded.classes == synthetic.CLASSES and scores.shape == (150, 10)
    wrong = 100 * (scores.argmax(1) != labels).double().mean()
    measured = last_line(command("resnet-eval", "--ckpt", run.folder))
    assert float(wrong) == pytest.approx(measured["top1_error"])
    with pytest.raises(ValueError, match="expected uint8"):
        loaded(images.float())

    assert [one.folder for one in resnet_cli.runs(runs)] == [run.folder]
    with pytest.raises(UserError, match="no such folder"):
        resnet_cli.runs(runs / "none")
    with pytest.raises(UserError, match="unknown key 'modle'"):
        resnet_cli.train("modle=resnet20")


def test_the_notebook_draws_figure_1(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its cells, one after another; the curves are those of the runs' metrics.jsonl."""
    if not (ROOT / "results").is_dir():
        pytest.skip("needs the results/ of the repository")
    monkeypatch.chdir(ROOT / "docs")
    matplotlib.use("agg")
    cells = json.loads(Path("figure1.ipynb").read_text())["cells"]
    names: dict[str, Any] = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    drawn = {
        (panel.get_ylabel(), line.get_label()): line.get_ydata()
        for panel in names["panels"]
        for line in panel.get_lines()
    }
    assert len(drawn) == 4
    for depth in (20, 56):
        file = ROOT / f"results/cifar10/plain{depth}/schedule.iterations=4000/seed0/metrics.jsonl"
        points = [json.loads(line) for line in file.read_text().splitlines()]
        for key, label in (("train/error", "training error (%)"), ("test/error", "test error (%)")):
            values = [point[key] for point in points if key in point]
            np.testing.assert_array_equal(drawn[label, f"{depth}-layer"], values)

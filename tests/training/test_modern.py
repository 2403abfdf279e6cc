"""What ten years added to the recipe: cosine and linear warm-up against PyTorch's schedulers, label
smoothing by its formula, the average of the weights against a loop.
"""

import json
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR

from resnet_cli.models.architecture import Shortcut, cifar
from resnet_cli.models.resnet import ResNet
from resnet_cli.training.ema import Ema
from resnet_cli.training.schedule import Schedule
from resnet_cli.training.step import TrainStep, make_optimizer
from tests.helpers.commands import TINY, Command, check_refused, last_line
from tests.helpers.networks import PAPER_SGD
from tests.helpers.numbers import assert_same
from tests.helpers.runs import ended, folder_of, kill_at, saved_values

MODERN = ["experiment=modern", *TINY, "ema=0.8"]


def smoothed(*, ema: float = 0.0) -> TrainStep:
    """In float64, eight layers."""
    network = ResNet(cifar(8, shortcut=Shortcut.A)).double()
    return TrainStep(
        network,
        make_optimizer(network, **PAPER_SGD),
        dtype=torch.float32,  # no autocast
        compiled=False,
        label_smoothing=0.1,
        ema=Ema(network, ema) if ema else None,
    )


@pytest.mark.parametrize(("iterations", "warmup"), [(1000, 50), (1000, 0), (64, 3)])
def test_the_rate_is_that_of_pytorchs_schedulers(iterations: int, warmup: int) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    cosine = CosineAnnealingLR(optimizer, T_max=iterations - warmup)
    theirs: torch.optim.lr_scheduler.LRScheduler = cosine
    if warmup:
        rise = LinearLR(optimizer, start_factor=1 / warmup, total_iters=warmup - 1)
        theirs = SequentialLR(optimizer, [rise, cosine], milestones=[warmup])
    ours = Schedule(
        lr=0.1, iterations=iterations, gamma=0.1, cosine=True, linear_warmup=warmup / iterations
    )
    for iteration in range(iterations):
        rate = optimizer.param_groups[0]["lr"]
        assert ours.lr_at(iteration) == pytest.approx(rate, rel=1e-9), iteration
        optimizer.step()
        theirs.step()


@pytest.mark.numerical
def test_a_smoothed_target_is_one_less_its_share_and_a_tenth_for_each_class() -> None:
    step, images, labels = smoothed(), torch.randn(16, 3, 32, 32).double(), torch.arange(16) % 10
    logits, loss = step._loss(images, labels)
    targets = 0.9 * torch.eye(10, dtype=torch.float64)[labels] + 0.1 / 10
    expected = -(targets * logits.log_softmax(dim=1)).sum() / 16
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.numerical
def test_the_average_is_that_of_a_loop() -> None:
    """Weights and BN statistics, in float64; the decay of 0.5 is reached in the eighth step."""
    step = smoothed(ema=0.5)
    average = {name: value.clone() for name, value in step.network.state_dict().items()}
    assert step.ema is not None
    for number in range(1, 13):
        step.ema.begin_step(number - 1)
        step(torch.randn(8, 3, 32, 32).double(), torch.arange(8), lr=0.01)
        decay = min(0.5, (1 + number) / (10 + number))
        for name, value in step.network.state_dict().items():
            average[name] = decay * average[name] + (1 - decay) * value
    found = step.ema.network.state_dict()
    compared = [name for name in average if not name.endswith("num_batches_tracked")]
    assert len(compared) == 7 * 5 + 2  # convolution and BN of seven layers, and the last
    for name in compared:
        torch.testing.assert_close(found[name], average[name], rtol=1e-12, atol=1e-14)


def test_a_stopped_modern_run_ends_as_one_left_alone_and_its_average_is_measured(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone, stopped = tmp_path / "alone", tmp_path / "stopped"
    done = command("resnet-train", *MODERN, f"runs={alone}")
    assert done.code == 0
    assert "label smoothing 0.1, evaluated: the average of the weights, decay 0.8" in done.out
    with monkeypatch.context() as patched:
        kill_at(patched, 9)
        assert command("resnet-train", *MODERN, f"runs={stopped}").code == 130
    assert command("resnet-train", *MODERN, f"runs={stopped}").code == 0
    assert_same(ended(stopped), ended(alone))
    folder = folder_of(alone)
    assert "modern" in folder.parts[-2]
    saved = saved_values(folder / "checkpoints/last.pt")
    assert not torch.equal(saved["averages"]["fc.weight"], saved["network"]["fc.weight"])
    measured = command("resnet-eval", "--ckpt", folder)
    result = json.loads((folder / "result.json").read_text())
    assert last_line(measured)["top1_error"] == pytest.approx(result["final"]["test_error"])
    assert "averaged over the steps, decay 0.8" in measured.out
    # the weights themselves have another error, or this would not tell which were measured
    del saved["averages"]
    torch.save(saved, tmp_path / "without.pt")
    other = command("resnet-eval", "--ckpt", tmp_path / "without.pt", f"dataset.root={tmp_path}")
    assert last_line(other)["top1_error"] != last_line(measured)["top1_error"]
    torch.save(saved, folder_of(stopped) / "checkpoints/last.pt")
    (folder_of(stopped) / "checkpoints/previous.pt").unlink()
    (folder_of(stopped) / "result.json").unlink()
    check_refused(
        command("resnet-train", *MODERN, f"runs={stopped}"), 2, "holds no average of the weights"
    )


def test_there_is_one_warm_up(command: Command, runs: Path) -> None:
    done = command("resnet-train", *MODERN, "schedule.warmup_lr=0.01", f"runs={runs}")
    check_refused(done, 2, "schedule.linear_warmup=0.05: there is a warm-up already")

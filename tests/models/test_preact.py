"""Pre-activation and Wide ResNets, and other numbers of layers a block, against forward passes
written out from their papers.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import batch_norm, conv2d, linear, pad, relu

from resnet_cli.models.architecture import (
    Activation,
    Architecture,
    Block,
    Shortcut,
    cifar,
    wide,
)
from resnet_cli.models.blocks import PreactBlock
from resnet_cli.models.resnet import ResNet
from tests.helpers.commands import TINY, Command, check_refused, last_line
from tests.helpers.networks import stir
from tests.helpers.numbers import assert_same
from tests.helpers.runs import ended, kill_at

PRE: dict[str, Any] = {"activation": Activation.pre}
NETWORKS: dict[str, Architecture] = {
    "preact14-A": cifar(14, shortcut=Shortcut.A, **PRE),
    "preact14-none": cifar(14, shortcut=Shortcut.none, **PRE),
    "preact20-bottleneck-B": cifar(20, shortcut=Shortcut.B, block=Block.bottleneck, **PRE),
    "wrn16-2": wide(16, widen=2, shortcut=Shortcut.B),
    "one layer": cifar(14, shortcut=Shortcut.A, layers_per_block=1),
    "three layers": cifar(20, shortcut=Shortcut.A, layers_per_block=3),
    "four layers": cifar(26, shortcut=Shortcut.A, layers_per_block=4),
}


def naive(net: Architecture, state: dict[str, Tensor], x: Tensor) -> Tensor:
    """Logits of one unit after the other, as the papers' figures draw them."""

    def norm(x: Tensor, name: str) -> Tensor:
        mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        return batch_norm(x, mean, var, state[f"{name}.weight"], state[f"{name}.bias"])

    def conv(x: Tensor, name: str, stride: int = 1) -> Tensor:
        weight = state[f"{name}.weight"]
        return conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)

    pre = net.activation is Activation.pre
    x = conv(x, "conv1")
    if not pre:
        x = relu(norm(x, "bn1"))
    for stage, blocks in enumerate(net.blocks, start=1):
        for block in range(blocks):
            name, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            activated = relu(norm(x, f"{name}.bn1")) if pre else x
            y = activated
            for number in range(1, net.block_depth + 1):
                if pre and number > 1:
                    y = relu(norm(y, f"{name}.bn{number}"))
                y = conv(y, f"{name}.conv{number}", stride if number == 1 else 1)
                if not pre:
                    y = norm(y, f"{name}.bn{number}")
                    y = relu(y) if number < net.block_depth else y
            first, projects = (stage, block) == (1, 0), f"{name}.downsample.0.weight" in state
            carried = activated if pre and (first or projects) else x
            if net.shortcut is Shortcut.none:
                x = y
            elif projects:
                x = y + conv(carried, f"{name}.downsample.0", stride)
            else:
                new = y.shape[1] - carried.shape[1]
                x = y + pad(carried[:, :, ::stride, ::stride], (0, 0, 0, 0, 0, new))
            if not pre:
                x = relu(x)
    x = relu(norm(x, "bn")) if pre else x
    return linear(x.mean(dim=(2, 3)), state["fc.weight"], state["fc.bias"])


@pytest.mark.numerical
@pytest.mark.parametrize("name", NETWORKS)
@torch.inference_mode()
def test_the_logits_are_those_of_a_naive_forward_pass(name: str) -> None:
    net = NETWORKS[name]
    network = stir(ResNet(net)).double()
    images = torch.randn(3, 3, 32, 32).double()
    expected = naive(net, network.state_dict(), images)
    torch.testing.assert_close(network(images), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.numerical
@torch.inference_mode()
def test_the_last_map_of_a_stage_is_the_first_and_all_residuals() -> None:
    """Their Eq. 4: x_L = x_l + sum of F."""
    network: Any = stir(ResNet(NETWORKS["preact14-A"])).double()
    inputs, residuals = [], []
    blocks = [one for one in network.layer3 if isinstance(one, PreactBlock)]
    for block in blocks[1:]:
        block.register_forward_hook(lambda _block, x, _y: inputs.append(x[0]))
        residuals.append(block.residual)
    end = network.layer3(torch.randn(2, 32, 16, 16).double())
    summed = sum(
        (block.residual(relu(block.bn1(x))) for block, x in zip(blocks[1:], inputs, strict=True)),
        start=inputs[0],
    )
    torch.testing.assert_close(end, summed, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", NETWORKS)
def test_they_have_as_many_layers_as_they_say(name: str) -> None:
    net = NETWORKS[name]
    with torch.device("meta"):
        shapes = {key: value.dim() for key, value in ResNet(net).state_dict().items()}
    layers = [key for key, dims in shapes.items() if dims > 1 and "downsample" not in key]
    # the authors of Wide ResNets count two more
    assert len(layers) == net.depth - 2 * name.startswith("wrn")


@pytest.mark.parametrize(
    "words",
    [
        ["model=preact20", "model.depth=8"],
        ["model=resnet164", "model.depth=11"],
        ["model=wrn16_8", "model.depth=10", "model.widen=1"],
    ],
    ids=lambda words: words[0],
)
def test_they_train_stop_resume_and_are_measured(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    words = [*TINY, *words, "schedule.iterations=12", "eval_every=6", "checkpoint_every=4"]
    assert command("resnet-train", *words, f"runs={tmp_path / 'whole'}").code == 0
    with monkeypatch.context() as patch:
        kill_at(patch, 7)
        assert command("resnet-train", *words, f"runs={tmp_path / 'cut'}").code == 130
    assert command("resnet-train", *words, f"runs={tmp_path / 'cut'}").code == 0
    assert_same(ended(tmp_path / "cut"), ended(tmp_path / "whole"))
    (run,) = (tmp_path / "cut").rglob("seed0")
    out = tmp_path / "x.safetensors"
    said = last_line(command("resnet-eval", "--ckpt", run, "--export", out))
    assert last_line(command("resnet-eval", "--ckpt", out)) == said


def test_shortcuts_of_one_layer_say_what_the_paper_does(command: Command) -> None:
    words = [*TINY, "model.layers_per_block=1", "dry_run=true"]
    assert "not observed advantages" in command("resnet-train", *words).out
    assert "not observed" not in command("resnet-train", *TINY, "dry_run=true").out


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["model=resnet20", "model.layers_per_block=4"], "the 6 layers of a stage"),
        (["model=resnet20", "model.layers_per_block=5"], "use one of 1, 2, 3, 4"),
        (["model=resnet164", "model.layers_per_block=3"], "a bottleneck has three layers"),
        (["model=preact20", "model.layers_per_block=1"], "model.activation=post"),
        (["model=resnet18", "model.activation=pre"], "CIFAR-10's networks"),
        (["model=resnet20", "model.widen=2"], "model=wrn16_8"),
        (["model=resnet164", "model.depth=100"], "9n+2"),
        (["model=wrn16_8", "model.depth=20"], "6n+4"),
        (["model=wrn16_8", "model.widen=0"], "model.widen=0"),
        (["model=wrn16_8", "model.block=bottleneck"], "model.block=bottleneck"),
    ],
)
def test_what_does_not_fit_is_one_line(command: Command, words: list[str], part: str) -> None:
    check_refused(command("resnet-train", *words, "schedule.iterations=1"), 2, part)

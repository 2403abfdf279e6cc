"""Fig. 7's numbers against a forward pass written out by hand."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import batch_norm, conv2d, relu

from resnet_cli.analysis import responses
from resnet_cli.data.images import Normalizer, Split
from resnet_cli.models.architecture import Activation, Shortcut, cifar, imagenet
from resnet_cli.models.blocks import ZeroPadIdentity
from resnet_cli.models.resnet import ResNet
from tests.helpers.commands import TINY, Command
from tests.helpers.networks import stir


@pytest.mark.numerical
@pytest.mark.parametrize("shortcut", [Shortcut.none, Shortcut.A])
def test_the_stds_are_those_of_a_naive_forward_pass(shortcut: Shortcut) -> None:
    network = stir(ResNet(cifar(14, shortcut=shortcut)))
    images = torch.randint(256, (7, 3, 32, 32), dtype=torch.uint8)
    weights = network.state_dict()
    expected: list[float] = []

    def layer(x: torch.Tensor, name: str, stride: int) -> torch.Tensor:
        """Convolution and BN; notes how it responds."""
        norm = name.replace("conv", "bn")
        y = conv2d(x, weights[f"{name}.weight"], stride=stride, padding=1)
        y = batch_norm(
            y,
            *(
                weights[f"{norm}.{part}"]
                for part in ("running_mean", "running_var", "weight", "bias")
            ),
        )
        expected.append(y.double().std(correction=0).item())
        return y

    x = relu(layer(images.float() / 255 - 0.5, "conv1", 1))
    for stage in (1, 2, 3):
        for block in (0, 1):
            stride = 2 if stage > 1 and block == 0 else 1
            y = layer(
                relu(layer(x, f"layer{stage}.{block}.conv1", stride)),
                f"layer{stage}.{block}.conv2",
                1,
            )
            if shortcut is Shortcut.A:
                y = y + (ZeroPadIdentity(x.shape[1], y.shape[1], stride=2)(x) if stride == 2 else x)
            x = relu(y)

    normalizer = Normalizer(torch.full((3, 1, 1), 0.5), torch.ones(3, 1, 1))
    # a ragged last batch
    measured = responses.measure(network, normalizer, Split(images, torch.zeros(7)), batch_size=3)
    assert list(measured)[:3] == ["conv1", "layer1.0.conv1", "layer1.0.conv2"]
    assert len(measured) == 13  # 14 layers, without the fully connected one
    assert list(measured.values()) == pytest.approx(expected, rel=1e-5)


def test_of_a_bottleneck_only_the_3x3_counts() -> None:
    with torch.device("meta"):
        network = ResNet(imagenet(50, shortcut=Shortcut.B))
    names = list(responses.after_3x3(network))
    assert len(names) == 3 + 4 + 6 + 3
    assert all(name.endswith(".conv2") for name in names)


def test_a_runs_responses_are_kept_beside_it(command: Command, runs: Path) -> None:
    assert command("resnet-train", *TINY, f"runs={runs}").code == 0
    (result,) = runs.rglob("result.json")
    measured = responses.of_run(result.parent, network="resnet8-A", root="nowhere")
    assert (len(measured.std), measured.images, measured.iteration) == (7, 150, 24)
    kept = result.parent / "responses.json"
    assert json.loads(kept.read_text())["std"] == measured.std
    for file in (result.parent / "checkpoints").iterdir():
        file.unlink()
    assert (
        responses.of_run(result.parent, network="resnet8-A", root="nowhere") == measured
    )  # the numbers outlive the checkpoint


@torch.inference_mode()
def test_the_last_layer_of_a_pre_activation_block_responds_without_a_bn() -> None:
    """Its output is what is added: F; the layer before it has its BN behind it."""
    network: Any = stir(ResNet(cifar(14, shortcut=Shortcut.A, activation=Activation.pre)))
    found = responses.after_3x3(network)
    block = network.get_submodule("layer1.1")
    assert found["layer1.1.conv1"] is block.bn2 and found["layer1.1.conv2"] is block.conv2
    images = torch.randint(256, (4, 3, 32, 32), dtype=torch.uint8)
    normalizer = Normalizer(torch.full((3, 1, 1), 0.5), torch.ones(3, 1, 1))
    measured = responses.measure(network, normalizer, Split(images, torch.zeros(4)))
    x = network.layer1[0](network.conv1(normalizer(images)))
    residual = (block(x) - x).double().std(correction=0).item()
    assert measured["layer1.1.conv2"] == pytest.approx(residual, rel=1e-5)

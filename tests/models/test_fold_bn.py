"""The folded network against the one it was made of."""

from typing import Any

import pytest
import torch
from torch import nn

from resnet_cli.models.architecture import (
    Activation,
    Architecture,
    Block,
    Shortcut,
    StrideIn,
    cifar,
    imagenet,
)
from resnet_cli.models.fold_bn import FoldedBN
from resnet_cli.models.resnet import ResNet
from resnet_cli.runtime.compile import missing_for_compiling
from tests.helpers.networks import stir
from tests.helpers.numbers import assert_same

CLOSE: dict[str, Any] = {"rtol": 1e-9, "atol": 1e-9}  # in float64: folding changes where it rounds
PREACT = {
    f"preact{depth}-{shortcut}": cifar(
        depth, shortcut=shortcut, block=block, activation=Activation.pre
    )
    for depth, block in ((20, Block.basic), (11, Block.bottleneck))
    for shortcut in (Shortcut.A, Shortcut.B)
}
NETWORKS = {
    "plain20": cifar(20, shortcut=Shortcut.none),
    "resnet20-A": cifar(20, shortcut=Shortcut.A),
    "one layer a block": cifar(20, shortcut=Shortcut.A, layers_per_block=1),
    "resnet20-C": cifar(20, shortcut=Shortcut.C),
    "resnet18": imagenet(18, shortcut=Shortcut.B, num_classes=7),
    "resnext50": imagenet(
        50,
        shortcut=Shortcut.B,
        num_classes=7,
        groups=32,
        width_per_group=4,
        stride_in=StrideIn.middle,
    ),
}


@pytest.mark.numerical
@pytest.mark.parametrize("name", NETWORKS)
@torch.inference_mode()
def test_the_same_logits_and_maps_without_a_bn_layer(name: str) -> None:
    network = stir(ResNet(NETWORKS[name])).double()
    folded: Any = FoldedBN(network).network
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in folded.modules())
    images = torch.randn(3, 3, 32, 48).double()
    torch.testing.assert_close(folded(images), network(images), **CLOSE)
    torch.testing.assert_close(folded.features(images), network.features(images), **CLOSE)


@pytest.mark.numerical
@pytest.mark.parametrize("name", PREACT)
@torch.inference_mode()
def test_a_bn_behind_an_addition_stays(name: str) -> None:
    """Through ReLU it folds into no convolution: one for each block, and the last."""
    network = stir(ResNet(PREACT[name])).double()
    folded: Any = FoldedBN(network).network
    left = [layer for layer in folded.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert len(left) == sum(network.architecture.blocks) + 1
    images = torch.randn(3, 3, 32, 48).double()
    torch.testing.assert_close(folded(images), network(images), **CLOSE)


@pytest.mark.numerical
@pytest.mark.parametrize("net", [NETWORKS["resnet20-C"], PREACT["preact20-A"]])
def test_refreshing_takes_up_all_that_was_learned_and_leaves_the_original_alone(
    net: Architecture,
) -> None:
    network = stir(ResNet(net)).double()
    folded = FoldedBN(network)
    images = torch.randn(8, 3, 32, 32).double()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(torch.randn_like(weight) * 0.1)
        network.train()(images)
        network.eval()
        old = folded.network(images)
        folded.refresh()
        torch.testing.assert_close(folded.network(images), network(images), **CLOSE)
    assert not torch.allclose(old, folded.network(images))
    assert before.keys() == network.state_dict().keys()


@pytest.mark.skipif(
    missing_for_compiling() is not None,
    reason="PyTorch's compiler needs g++ or clang++ and Python.h",
)
@torch.inference_mode()
def test_compiled_testing_in_bf16_gives_the_very_same_logits() -> None:
    """So a run's own test error is what resnet-eval finds, compiled or not. Older compilers leave
    out a rounding or two, but lose nothing by it.
    """
    network = stir(ResNet(NETWORKS["resnet20-A"])).to(memory_format=torch.channels_last)
    plain, compiled = FoldedBN(network), FoldedBN(network)
    compiled.compile()
    images = torch.randn(20, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours, expected = compiled.network(images), plain.network(images)
    if torch.__version__ >= "2.14":
        assert_same(ours, expected)
    else:
        bf16 = torch.finfo(torch.bfloat16).eps
        assert (ours - expected).abs().max() <= 2 * bf16 * expected.abs().max()

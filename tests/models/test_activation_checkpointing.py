"""Computing activations again against keeping them: the same numbers, in less memory."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cross_entropy

from resnet_cli.models.architecture import Activation, Architecture, Shortcut, cifar, imagenet
from resnet_cli.models.layers import set_bn_groups
from resnet_cli.models.resnet import ResNet
from resnet_cli.training.memory import saved_for_backward
from tests.helpers.numbers import assert_same

NETWORKS: dict[str, Callable[[], Architecture]] = {
    "resnet20-A": lambda: cifar(20, shortcut=Shortcut.A),
    "plain20": lambda: cifar(20, shortcut=Shortcut.none),
    "preact20": lambda: cifar(20, shortcut=Shortcut.A, activation=Activation.pre),
    "bottlenecks": lambda: replace(
        imagenet(50, shortcut=Shortcut.B, num_classes=10),
        blocks=(2, 1, 1, 1),
        widths=(16, 16, 32, 32),
    ),
}


@pytest.mark.numerical
@pytest.mark.parametrize(
    ("name", "dtype", "group"),
    [
        ("resnet20-A", torch.float32, None),
        ("resnet20-A", torch.bfloat16, 4),
        ("plain20", torch.bfloat16, None),
        ("preact20", torch.float32, None),
        ("bottlenecks", torch.float32, None),
    ],
)
def test_gradients_and_running_averages_are_the_same_bit_for_bit(
    name: str, dtype: torch.dtype, group: int | None
) -> None:
    networks = []
    for on in (False, True):
        torch.manual_seed(0)
        network = ResNet(NETWORKS[name]()).to(memory_format=torch.channels_last)
        set_bn_groups(network, group)
        network.set_activation_checkpointing(on)
        for number in range(2):
            generator = torch.Generator().manual_seed(number)
            images = torch.randn(8, 3, 32, 32, generator=generator).contiguous(
                memory_format=torch.channels_last
            )
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype is torch.bfloat16):
                logits = network(images)
            cross_entropy(logits.float(), torch.arange(8)).backward()
        networks.append(network)
    plain, recomputed = networks
    assert_same(recomputed.state_dict(), plain.state_dict())
    grads = [{key: w.grad for key, w in network.named_parameters()} for network in networks]
    assert None not in grads[0].values()
    assert_same(grads[1], grads[0])


def test_a_deep_network_keeps_a_fraction() -> None:
    """Of a block of two convolutions only its input stays, of some five tensors."""
    network = ResNet(cifar(110, shortcut=Shortcut.A))
    every, _ = saved_for_backward(network, 2, image_size=32, dtype=torch.float32)
    network.set_activation_checkpointing(True)
    few, _ = saved_for_backward(network, 2, image_size=32, dtype=torch.float32)
    assert few < every / 3


def test_testing_is_left_alone() -> None:
    network = ResNet(cifar(8, shortcut=Shortcut.A)).eval()
    images = torch.randn(2, 3, 32, 32)
    plain = network(images)
    network.set_activation_checkpointing(True)
    assert_same(network(images), plain)

"""Computing activations again against keeping them: the same numbers, in less memory."""

from collections.abc import Callable

import pytest
import torch
from torch.nn.functional import cross_entropy

from resnet_cli.models.architecture import Architecture, Shortcut, cifar, imagenet
from resnet_cli.models.layers import set_bn_groups
from resnet_cli.models.resnet import ResNet
from resnet_cli.training.memory import saved_for_backward

NETWORKS: dict[str, Callable[[], Architecture]] = {
    "resnet20-A": lambda: cifar(20, shortcut=Shortcut.A),
    "plain20": lambda: cifar(20, shortcut=Shortcut.none),
    "resnet50": lambda: imagenet(50, shortcut=Shortcut.B, num_classes=10),
}


@pytest.mark.parametrize(
    ("name", "dtype", "group"),
    [
        ("resnet20-A", torch.float32, None),
        ("resnet20-A", torch.bfloat16, 4),
        ("plain20", torch.bfloat16, None),
        ("resnet50", torch.float32, None),
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
    for (key, mine), theirs in zip(
        networks[1].state_dict().items(), networks[0].state_dict().values(), strict=True
    ):
        assert torch.equal(mine, theirs), key
    for weight, expected in zip(networks[1].parameters(), networks[0].parameters(), strict=True):
        assert weight.grad is not None
        assert expected.grad is not None
        assert torch.equal(weight.grad, expected.grad)


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
    assert torch.equal(network(images), plain)

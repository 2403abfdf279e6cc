"""Networks to compare with."""

from typing import Any, TypeVar

from torch import nn

# What the paper trains with (sections 3.4 and 4.2).
PAPER_SGD: dict[str, Any] = {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4, "nesterov": False}

Network = TypeVar("Network", bound=nn.Module)


def stir(network: Network) -> Network:
    """The network in eval mode, its BN statistics and weights as after training: none 0 or 1."""
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.uniform_(layer.bias, -0.5, 0.5)
            layer.get_buffer("running_mean").uniform_(-0.5, 0.5)
            layer.get_buffer("running_var").uniform_(0.5, 2)
    return network.eval()

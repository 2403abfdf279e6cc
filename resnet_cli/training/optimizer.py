"""SGD as the paper (and Caffe) has it."""

import torch
from torch import nn


def make_optimizer(network: nn.Module, *, lr: float, momentum: float, weight_decay: float, nesterov: bool) -> torch.optim.SGD:
    """Momentum SGD over everything learned, weight decay on all of it, BN and biases included (sections 3.4 and 4.2).

    The learning rate is a tensor beside the weights, so that a schedule changes it without waiting for the device.
    """
    device = next(network.parameters()).device
    rate = torch.tensor(lr, device=device)
    optimizer = torch.optim.SGD(network.parameters(), rate, momentum, weight_decay=weight_decay, nesterov=nesterov, fused=True)
    for weight in network.parameters() if momentum else ():  # else a first step that is skipped would leave them unset
        optimizer.state[weight]["momentum_buffer"] = torch.zeros_like(weight)
    return optimizer

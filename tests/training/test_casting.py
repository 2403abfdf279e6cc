"""One cast of all weights: the bits of PyTorch's autocast, layer by layer."""

import copy

import pytest
import torch
from torch import nn

from resnet_cli.models.architecture import Shortcut, cifar
from resnet_cli.models.resnet import ResNet
from resnet_cli.training.casting import CastOnce
from tests.helpers.numbers import assert_same

pytestmark = pytest.mark.numerical


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("recompute", [False, True])
def test_logits_and_gradients_are_autocasts(dtype: torch.dtype, recompute: bool) -> None:
    theirs = ResNet(cifar(8, shortcut=Shortcut.B)).train()
    theirs.set_activation_checkpointing(recompute)
    ours = copy.deepcopy(theirs)
    images, weights = torch.randn(4, 3, 32, 32), torch.randn(4, 10)
    for network, forward in ((theirs, theirs), (ours, CastOnce(ours, dtype))):
        with torch.autocast("cpu", dtype=dtype):
            logits = forward(images)
        (logits.float() * weights).sum().backward()
        network.logits = logits
    assert ours.logits.dtype == dtype
    assert_same(ours.logits, theirs.logits)
    for (name, one), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert one.dtype == torch.float32 and one.grad is not None and other.grad is not None, name
        assert_same(one.grad, other.grad)


def test_norms_are_not_cast() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 2))
    cast = CastOnce(network, torch.bfloat16)
    assert cast.names == ["0.weight", "0.bias", "3.weight", "3.bias"]

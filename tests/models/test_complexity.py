"""Costs by arithmetic against those of the built networks, as PyTorch counts them."""

import dataclasses

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from resnet_cli.models.architecture import Architecture, Shortcut, StrideIn, cifar
from resnet_cli.models.complexity import multiply_adds, parameters
from resnet_cli.models.resnet import ResNet
from resnet_cli.models.zoo import NETWORKS

VARIANTS = {
    f"{name}-{shortcut}": dataclasses.replace(NETWORKS[name], shortcut=shortcut)
    for name in ("resnet20", "resnet34", "resnet50")
    for shortcut in Shortcut
} | {
    f"{name}-{shortcut}": dataclasses.replace(NETWORKS[name], shortcut=shortcut)
    for name in ("preact20", "preact164", "wrn16_8")
    for shortcut in Shortcut
}
VARIANTS |= {
    f"{count} layers a block": cifar(26, shortcut=Shortcut.C, layers_per_block=count)
    for count in (1, 2, 4)
}
VARIANTS |= {"resnet50-3x3": dataclasses.replace(NETWORKS["resnet50"], stride_in=StrideIn.middle)}

DEEPEST = {"resnet1202", "resnet1001", "preact1001"}  # seconds to build


def built(net: Architecture, *, image_size: int) -> tuple[int, int]:
    """Parameters and multiply-adds of the modules; the counter says 2 for a multiply and its
    add.
    """
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        network = ResNet(net).eval()
        network(torch.empty(1, 3, image_size, image_size))
    return sum(weight.numel() for weight in network.parameters()), counter.get_total_flops() // 2


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name in DEEPEST else [])
        for name in [*NETWORKS, *VARIANTS]
    ],
)
def test_costs_are_those_of_the_built_network(name: str) -> None:
    net = (NETWORKS | VARIANTS)[name]
    size = net.image_size
    assert (parameters(net), multiply_adds(net, image_size=size)) == built(net, image_size=size)


# As published: rounded (He et al. 2016: "1.7M", "10.2M"), and exact, from the authors' code.
PUBLISHED = {"resnet164": 1.7e6, "preact164": 1.7e6, "resnet1001": 10.2e6, "preact1001": 10.2e6}
EXACT = {"wrn16_8": 10_961_370, "wrn28_10": 36_479_194, "wrn40_4": 8_949_210}


def test_later_networks_have_the_published_parameters() -> None:
    assert {name: parameters(NETWORKS[name]) for name in EXACT} == EXACT
    assert {name: parameters(NETWORKS[name]) for name in PUBLISHED} == pytest.approx(
        PUBLISHED, rel=0.015
    )


@pytest.mark.parametrize("image_size", [32, 33, 56, 97, 150])
@pytest.mark.parametrize("name", ["resnet20-B", "resnet34-A", "resnet50-C", "resnet50-3x3"])
def test_at_any_size(name: str, image_size: int) -> None:
    net = VARIANTS[name]
    assert multiply_adds(net, image_size=image_size) == built(net, image_size=image_size)[1]

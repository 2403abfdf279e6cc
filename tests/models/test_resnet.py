"""The networks against the paper's counts, a naive loop and torchvision."""

import dataclasses
import math

import pytest
import torch
import torchvision
from torch import nn

from resnet_cli.models.architecture import Architecture, Shortcut, Stem, StrideIn, cifar, imagenet
from resnet_cli.models.blocks import BasicBlock, Bottleneck, ZeroPadIdentity
from resnet_cli.models.resnet import ResNet
from resnet_cli.models.zoo import NETWORKS
from tests.helpers.networks import WIDER
from tests.helpers.numbers import assert_same

# Exact, section 4.2's 0.27M, 0.46M, 0.66M, 0.85M, 1.7M, 19.4M.
PARAMETERS = {20: 269_722, 32: 464_154, 44: 658_586, 56: 853_018, 110: 1_727_962, 1202: 19_421_274}


def count(architecture: Architecture) -> int:
    with torch.device("meta"):
        return sum(weight.numel() for weight in ResNet(architecture).parameters())


@pytest.mark.parametrize(("depth", "expected"), [*PARAMETERS.items()])
def test_plain_and_residual_have_the_papers_parameters(depth: int, expected: int) -> None:
    assert count(cifar(depth, shortcut=Shortcut.A)) == expected
    assert count(cifar(depth, shortcut=Shortcut.none)) == expected


@pytest.mark.parametrize("depth", [8, 14, 26, 50, 74])
@pytest.mark.parametrize("shortcut", Shortcut)
def test_any_depth_has_as_many_layers_as_it_says(depth: int, shortcut: Shortcut) -> None:
    with torch.device("meta"):
        network = ResNet(cifar(depth, shortcut=shortcut))
    layers = [
        name
        for name, part in network.named_modules()
        if isinstance(part, nn.Conv2d | nn.Linear) and "downsample" not in name
    ]
    assert len(layers) == depth == network.architecture.depth


def test_projections_cost_what_they_should() -> None:
    base = count(cifar(20, shortcut=Shortcut.A))
    # two 1x1 with BN
    b = sum(inputs * outputs + 2 * outputs for inputs, outputs in ((16, 32), (32, 64)))
    # and one in every other block
    c = sum(width * width + 2 * width for width in (16, 16, 16, 32, 32, 64, 64))
    assert count(cifar(20, shortcut=Shortcut.B)) == base + b
    assert count(cifar(20, shortcut=Shortcut.C)) == base + b + c


@pytest.mark.parametrize("depth", [0, 2, 7, 18, 21, 57])
def test_other_depths_are_refused(depth: int) -> None:
    with pytest.raises(ValueError, match="6n\\+2"):
        cifar(depth, shortcut=Shortcut.A)


@pytest.mark.numerical
def test_option_a_is_every_second_pixel_and_zeros_behind() -> None:
    x = torch.randn(2, 3, 7, 6)
    expected = torch.zeros(2, 8, 4, 3)
    for image in range(2):
        for channel in range(3):
            for row in range(4):
                for column in range(3):
                    expected[image, channel, row, column] = x[image, channel, 2 * row, 2 * column]
    assert_same(ZeroPadIdentity(3, 8, stride=2)(x), expected)


@pytest.mark.numerical
def test_a_plain_block_is_a_residual_one_without_the_shortcut() -> None:
    plain = BasicBlock(cifar(20, shortcut=Shortcut.none), 16, width=16, stride=1).eval()
    residual = BasicBlock(cifar(20, shortcut=Shortcut.A), 16, width=16, stride=1).eval()
    residual.load_state_dict(plain.state_dict())
    x = torch.randn(2, 16, 8, 8)
    assert_same(plain(x), plain.residual(x).relu())
    assert_same(residual(x), (plain.residual(x) + x).relu())


@pytest.mark.parametrize(
    "name", ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152", *WIDER]
)
def test_option_b_is_torchvisions_network(name: str) -> None:
    """Name by name and shape by shape, at no cost on the meta device."""
    with torch.device("meta"):
        theirs = getattr(torchvision.models, name)()
        ours = ResNet(
            dataclasses.replace(NETWORKS[name], shortcut=Shortcut.B, stride_in=StrideIn.middle)
        )
    shapes = {key: value.shape for key, value in theirs.state_dict().items()}
    assert {key: value.shape for key, value in ours.state_dict().items()} == shapes


def test_the_papers_bottleneck_halves_the_map_in_its_first_1x1() -> None:
    paper, later = (
        Bottleneck(imagenet(50, shortcut=Shortcut.B, stride_in=where), 64, width=64, stride=2)
        for where in StrideIn
    )
    assert (paper.conv1.stride, paper.conv2.stride) == ((2, 2), (1, 1))
    assert (later.conv1.stride, later.conv2.stride) == ((1, 1), (2, 2))


def test_maps_and_widths_of_section_4_2() -> None:
    network, shapes = ResNet(cifar(20, shortcut=Shortcut.A)), []
    for stage in network.stages:
        network.get_submodule(stage).register_forward_hook(
            lambda _module, _inputs, output: shapes.append(tuple(output.shape[1:]))
        )
    assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 10)
    assert shapes == [(16, 32, 32), (32, 16, 16), (64, 8, 8)]


def test_a_cifar_stem_before_table_1_keeps_the_map() -> None:
    network = ResNet(imagenet(18, shortcut=Shortcut.A, stem=Stem.cifar, num_classes=20)).eval()
    assert network.features(torch.zeros(1, 3, 64, 64)).shape == (1, 512, 8, 8)
    assert network.architecture.stride == 8


def test_only_bottlenecks_are_widened() -> None:
    with pytest.raises(ValueError, match="basic blocks"):
        imagenet(18, shortcut=Shortcut.B, groups=32, width_per_group=4)


@pytest.mark.numerical
def test_he_initialisation() -> None:
    torch.manual_seed(0)
    for name, weight in ResNet(cifar(56, shortcut=Shortcut.C)).named_parameters():
        if weight.dim() > 1:
            expected = math.sqrt(2 / weight[0].numel())  # fan-in
            assert weight.std().item() == pytest.approx(
                expected, rel=5 / math.sqrt(weight.numel())
            ), name
        else:
            assert set(weight.tolist()) == {1.0 if name.endswith("weight") else 0.0}, name

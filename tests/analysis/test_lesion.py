"""Lesions against networks that were rebuilt by hand, in float64."""

import copy
import csv
from pathlib import Path

import pytest
import torch
from scipy.stats import kendalltau
from torch import nn

from resnet_cli.analysis.chain import Chain, places, take_apart
from resnet_cli.analysis.lesion import drawn, removable, run_from, single, wrong_images
from resnet_cli.data.images import Normalizer, Split
from resnet_cli.models.architecture import Family, Shortcut, cifar
from resnet_cli.models.comparison import make_comparison
from resnet_cli.models.fold_bn import FoldedBN
from resnet_cli.models.networks import build_network
from resnet_cli.models.resnet import ResNet
from resnet_cli.paper.why.records import Change
from resnet_cli.runtime.errors import UserError
from tests.helpers.commands import TINY, Command, check_refused, last_line
from tests.helpers.networks import stir

SIDE = 16


def rebuilt(network: ResNet, order: tuple[int | None, ...]) -> ResNet:
    """The network with modules taken out and moved, as somebody would write it in a notebook."""
    copied = copy.deepcopy(network)
    names = [(stage, i) for stage in network.stages for i in range(len(getattr(network, stage)))]
    for place, block in enumerate(order):
        stage, i = names[place]
        if block is None:
            shortcut = getattr(network, stage)[i].downsample
            bare = nn.Identity() if shortcut is None else nn.Sequential(shortcut, nn.ReLU())
            getattr(copied, stage)._modules[str(i)] = bare
        else:
            other, j = names[block]
            getattr(copied, stage)._modules[str(i)] = getattr(network, other)[j]
    return copied


@pytest.mark.numerical
@pytest.mark.parametrize("shortcut", [Shortcut.none, Shortcut.A, Shortcut.B])
@torch.no_grad()
def test_changed_networks_are_those_rebuilt_by_hand(shortcut: Shortcut) -> None:
    network = stir(ResNet(cifar(20, shortcut=shortcut))).double()
    line = places(network, image_size=SIDE)
    plain = shortcut is Shortcut.none
    assert removable(line) == [0, 1, 2, 4, 5, 7, 8] if plain else list(range(9))
    variants = single(line) + drawn(line, [1, 3], draws=2, seed=0, network="it")
    images = torch.randint(256, (4, 3, SIDE, SIDE), dtype=torch.uint8)
    normalizer = Normalizer(torch.full((3, 1, 1), 0.5), torch.ones(3, 1, 1))
    pixels = normalizer(images).double()
    logits = [rebuilt(network, one.order)(pixels) for one in variants]
    for one, expected in zip(variants, logits, strict=True):
        found = network.head(run_from(line, one.order, network.stem(pixels), start=0))
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-9)
    labels = logits[0].argmax(1)
    labels[-1] = (labels[-1] + 1) % 10
    intact, wrong = wrong_images(
        Chain(network.stem, line, network.head),
        variants,
        split=Split(images, labels),
        normalizer=lambda part: normalizer(part).double(),
        dtype=torch.float32,
        batch_size=3,
    )
    assert intact == (network(pixels).argmax(1) != labels).sum()
    assert wrong == [(one.argmax(1) != labels).sum() for one in logits]
    assert wrong[0] == 1


def rebuilt_vgg(network: nn.Module, order: tuple[int | None, ...]) -> nn.Module:
    """torchvision's VGG with a layer's three modules taken out or moved; pooling stays."""
    copied = copy.deepcopy(network)
    theirs, ours = network.get_submodule("features"), copied.get_submodule("features")
    first = [int(n) for n, module in theirs.named_children() if isinstance(module, nn.Conv2d)]
    for place, layer in enumerate(order):
        for i in range(3):
            moved = nn.Identity() if layer is None else theirs.get_submodule(f"{first[layer] + i}")
            ours.register_module(f"{first[place] + i}", moved)
    return copied


@pytest.mark.numerical
@torch.no_grad()
def test_layers_of_vgg_are_deleted_where_shapes_allow() -> None:
    net = make_comparison(Family.vgg, 16, batch_norm=True, image_size=32)
    network = stir(build_network(net)).double()
    folded = FoldedBN(network).network
    chain = take_apart(folded, image_size=32)
    names = [one.name for one in chain.line]
    left_out = [name for number, name in enumerate(names) if number not in removable(chain.line)]
    assert left_out == ["conv1_1", "conv2_1", "conv3_1", "conv4_1"]  # where VGG grows wider
    assert (len(names), names[-1], chain.line[-1].stage) == (13, "conv5_3", 5)
    variants = single(chain.line) + drawn(chain.line, [2], draws=1, seed=0, network="it")
    assert [one.change for one in variants[9:]] == [Change.random, Change.swap]
    pixels = torch.randn(1, 3, 32, 32, dtype=torch.float64)
    for one in variants[::2] + variants[-1:]:
        expected = rebuilt_vgg(network, one.order)(pixels)
        found = chain.head(run_from(chain.line, one.order, chain.stem(pixels), start=0))
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    googlenet = build_network(make_comparison(Family.googlenet, 22))
    with pytest.raises(UserError, match="not made of blocks"):
        take_apart(googlenet, image_size=32)


def test_what_is_drawn_can_be_drawn_and_is_drawn_again() -> None:
    line = places(ResNet(cifar(20, shortcut=Shortcut.A)), image_size=SIDE)
    found = drawn(line, [1, 4, 7], draws=3, seed=5, network="it")
    assert found == drawn(line, [1, 4, 7], draws=3, seed=5, network="it")
    assert found != drawn(line, [1, 4, 7], draws=3, seed=6, network="it")
    for one in found:
        if one.change is Change.random:
            assert len(one.changed) == one.k and not {3, 6} & set(one.changed)
        else:
            assert {*one.order} == set(range(9))
            stage = [line[number].stage for number in range(9)]
            assert [stage[block or 0] for block in one.order] == stage
            expected = kendalltau(range(9), one.order).statistic
            assert one.kendall_tau == pytest.approx(expected)
    with pytest.raises(UserError, match="--k 8: it has 7 blocks"):
        drawn(line, [8], draws=1, seed=0, network="it")


def test_a_network_without_blocks_is_refused() -> None:
    with pytest.raises(UserError, match="not made of blocks"):
        places(nn.Sequential(nn.Conv2d(3, 8, 3)), image_size=SIDE)


def test_the_command(command: Command, runs: Path, tmp_path: Path) -> None:
    assert command("resnet-train", *TINY, "model.depth=14", f"runs={runs}").code == 0
    (folder,) = (path.parent for path in runs.rglob("result.json"))
    out = tmp_path / "out"
    words = ["lesion", "--out", out, "--ckpt", folder, "device=cpu"]
    done = command("resnet-analyze", *words, "--k", 1, 2, "--draws", 2)
    assert done.code == 0, done.err
    with (out / "lesion.csv").open() as file:
        rows = list(csv.DictReader(file))
    kinds = [row["change"] for row in rows]
    assert [kinds.count(one) for one in Change] == [1, 6, 0, 4, 4]
    assert {row["images"] for row in rows} == {"150"}
    evaluated = last_line(command("resnet-eval", "--ckpt", folder, "device=cpu"))
    assert float(rows[0]["error"]) == evaluated["top1_error"]
    assert (out / "lesion.png").read_bytes().startswith(b"\x89PNG")
    assert "With one block deleted" in done.out
    check_refused(command("resnet-analyze", *words, "--k", 5), 2, "--k 5", "4 blocks")
    check_refused(command("resnet-analyze", *words, "--k", "x"), 2, "--k x")
    check_refused(command("resnet-analyze", *words, "--images", 0), 2, "--images 0")
    check_refused(command("resnet-analyze", *words[:-2], tmp_path / "no"), 2, "no")
    torch.save(torch.load(folder / "checkpoints/last.pt")["network"], tmp_path / "bare.pth")
    check_refused(command("resnet-analyze", *words[:-2], tmp_path / "bare.pth"), 2, "weights alone")

"""The networks to compare with, against published counts, torchvision, and PyTorch's counter."""

from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from resnet_cli.models.architecture import Family
from resnet_cli.models.comparison import Comparison, make_comparison
from resnet_cli.models.complexity import layers, multiply_adds, parameters
from resnet_cli.models.fold_bn import FoldedBN
from resnet_cli.models.networks import build_network
from resnet_cli.models.zoo import COMPARISONS, NETWORKS
from tests.helpers.commands import TINY, Command, check_refused, last_line
from tests.helpers.networks import stir
from tests.helpers.numbers import assert_same
from tests.helpers.runs import ended, kill_at

PUBLISHED = {
    "alexnet": 61_100_840,
    "vgg16": 138_357_544,
    "vgg16_bn": 138_365_992,
    "vgg19": 143_667_240,
    "vgg19_bn": 143_678_248,
    "googlenet": 6_624_904,
    "densenet121": 7_978_856,
    "densenet169": 14_149_480,
    "densenet201": 20_013_928,
    "densenet264": 33_337_704,
}
SMALL = {
    name: make_comparison(net.family, net.depth, batch_norm=net.batch_norm, image_size=32)
    for name, net in COMPARISONS.items()
    if net.family is not Family.alexnet
}
CASES = [*COMPARISONS.items(), *((f"{name}, 32x32", net) for name, net in SMALL.items())]


def test_parameters_are_the_published_ones() -> None:
    assert {name: parameters(net) for name, net in COMPARISONS.items()} == PUBLISHED
    assert parameters(SMALL["vgg16_bn"]) == 14_728_266


@pytest.mark.parametrize(("name", "net"), CASES, ids=[name for name, _ in CASES])
def test_costs_are_those_of_the_built_network(name: str, net: Comparison) -> None:
    size = net.image_size
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        network = build_network(net).eval()
        network(torch.empty(1, 3, size, size))
    assert parameters(net) == sum(weight.numel() for weight in network.parameters())
    assert multiply_adds(net, image_size=size) == counter.get_total_flops() // 2


@pytest.mark.parametrize("size", [64, 97, 128])
@pytest.mark.parametrize("name", ["alexnet", "vgg16", "googlenet", "densenet121"])
def test_at_other_sizes(name: str, size: int) -> None:
    net = COMPARISONS[name]
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        build_network(net).eval()(torch.empty(1, 3, size, size))
    assert multiply_adds(net, image_size=size) == counter.get_total_flops() // 2


def test_the_papers_references() -> None:
    """Section 3.3: VGG-19 has 19.6e9, and the 34 layers "only 18 %" of it."""
    vgg16, vgg19 = COMPARISONS["vgg16"], COMPARISONS["vgg19"]
    convolutions = [one for one in layers(vgg16, image_size=224) if one.row != "fc"]
    assert sum(one.multiply_adds for one in convolutions) / 1e6 == pytest.approx(15_346.6, abs=0.05)
    whole = multiply_adds(vgg19, image_size=224)
    assert whole / 1e6 == pytest.approx(19_632.1, abs=0.05)
    assert round(100 * 3.6 / 19.6) == 18
    ratio = multiply_adds(NETWORKS["plain34"], image_size=224) / whole
    assert ratio == pytest.approx(0.18, abs=0.01)


@pytest.mark.parametrize("depth", [50, 101])
def test_resnexts_are_about_as_complex_as_resnet(depth: int) -> None:
    """Xie et al. 2017, Table 2: widths chosen to keep the complexity, here within 5 %."""
    nets = [
        NETWORKS[f"resnext{depth}_{kind}"] for kind in ("1x64d", "2x40d", "4x24d", "8x14d", "32x4d")
    ]
    for cost in (parameters, lambda net: multiply_adds(net, image_size=224)):
        costs = [cost(net) for net in nets]
        assert max(costs) / min(costs) < 1.05


@pytest.mark.numerical
@pytest.mark.parametrize("name", ["googlenet", "densenet121"])
@torch.inference_mode()
def test_weights_go_to_torchvision_and_give_its_logits(name: str) -> None:
    ours = stir(build_network(COMPARISONS[name])).double()
    options = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    theirs = torchvision.models.get_model(name, weights=None, **options).double().eval()
    theirs.load_state_dict(ours.state_dict(), strict=True)
    images = torch.randn(2, 3, 64, 64).double()
    assert_same(ours(images), theirs(images))


@pytest.mark.parametrize("name", ["alexnet", "vgg16", "vgg19_bn"])
def test_names_are_torchvisions(name: str) -> None:
    with torch.device("meta"):
        ours = build_network(COMPARISONS[name]).state_dict()
        theirs = torchvision.models.get_model(name, weights=None).state_dict()
    assert {key: value.shape for key, value in ours.items()} == {
        key: value.shape for key, value in theirs.items()
    }


@pytest.mark.numerical
@pytest.mark.parametrize("name", ["vgg16_bn", "googlenet", "densenet121"])
@torch.inference_mode()
def test_bn_folds_where_a_convolution_precedes_it(name: str) -> None:
    network = stir(build_network(SMALL[name])).double()
    folded = FoldedBN(network).network
    left = sum(isinstance(layer, nn.BatchNorm2d) for layer in folded.modules())
    # DenseNet: before each 1x1, of 58 layers and 3 transitions, and the last map's
    assert left == (58 + 3 + 1 if name == "densenet121" else 0)
    images = torch.randn(2, 3, 32, 32).double()
    torch.testing.assert_close(folded(images), network(images), rtol=1e-9, atol=1e-9)


FEW = [*TINY[2:], "batch_size=8", "dataset.test_images=20", "schedule.iterations=4", "log_every=2"]
FEW += ["eval_every=4", "checkpoint_every=2", "dataset.train_images=40"]


@pytest.mark.slow
def test_vgg_trains_on_small_images_and_is_measured(command: Command, tmp_path: Path) -> None:
    words = ["model=vgg16_bn", *FEW, "schedule.iterations=2", f"runs={tmp_path}"]
    made = command("resnet-train", *words)
    assert made.code == 0 and "14,728,266 parameters" in made.out
    (run,) = tmp_path.rglob("seed0")
    assert run.relative_to(tmp_path).parts[:2] == ("synthetic", "vgg16_bn")
    said = last_line(command("resnet-eval", "--ckpt", run))
    assert said["count"] == 20
    exported = tmp_path / "x.pth"
    command("resnet-eval", "--ckpt", run, "--export", exported)
    words = ["model=vgg16_bn", "dataset.normalization=cifar", "dataset=synthetic"]
    words += ["dataset.train_images=20", "dataset.test_images=20"]
    again = command("resnet-eval", "--ckpt", exported, *words)
    assert last_line(again)["count"] == 20


@pytest.mark.slow
def test_what_is_dropped_does_not_depend_on_where_a_run_stopped(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["model=googlenet", *FEW]
    assert command("resnet-train", *words, f"runs={tmp_path / 'whole'}").code == 0
    with monkeypatch.context() as patch:
        kill_at(patch, 3)
        assert command("resnet-train", *words, f"runs={tmp_path / 'cut'}").code == 130
    torch.manual_seed(7)
    assert command("resnet-train", *words, f"runs={tmp_path / 'cut'}").code == 0
    assert_same(ended(tmp_path / "cut"), ended(tmp_path / "whole"))


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["model=alexnet", "dataset=cifar10"], "the least is 63"),
        (["model=vgg16", "shortcut=A"], "none of the paper's shortcuts"),
        (["model=vgg16", "model.depth=11"], "vgg has 16, 19 layers"),
        (["model=vgg16_bn", "activation_checkpointing=true"], "leave it out"),
        (["model=vgg16", "model.layers_per_block=1"], "model=resnet20"),
        (["model=resnet20", "model.batch_norm=true"], "model=vgg16_bn"),
    ],
)
def test_what_does_not_fit_is_one_line(command: Command, words: list[str], part: str) -> None:
    check_refused(command("resnet-train", *words, "schedule.iterations=1"), 2, part)


def test_what_libraries_deviate_in_is_said(command: Command) -> None:
    shown = command("resnet-info", "alexnet", "googlenet", "vgg16").out.replace("\n", " ")
    for part in ("One weird trick", "60,965,224", "3x3 convolutions where", "15,346.6M"):
        assert part in shown
    assert "torchvision" not in command("resnet-info", "resnet20").out.partition("\n\n")[0]
    check_refused(command("resnet-info", "vgg16", "--draw", "x.svg"), 2, "vgg16 is not")
    check_refused(command("resnet-info", "vgg16", "--shortcut", "B"), 2, "vgg16 has neither")

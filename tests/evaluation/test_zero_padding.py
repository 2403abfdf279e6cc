"""Networks whose shortcuts pad zeros on both sides: akamaster's, written after its definition."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, pad, relu

from resnet_cli.analysis.subject import open_subject
from resnet_cli.evaluation.predictions import read
from resnet_cli.models.architecture import (
    Activation,
    Architecture,
    Shortcut,
    Stem,
    ZeroPadding,
    cifar,
    imagenet,
)
from resnet_cli.models.resnet import ResNet
from resnet_cli.models.zero_padding import with_zeros_behind
from tests.helpers.commands import TINY, Command, check_refused, last_line
from tests.helpers.networks import stir
from tests.helpers.numbers import assert_same

SMALL = ["dataset=synthetic", "dataset.train_images=50", "dataset.test_images=100"]
FOREIGN = ["model=resnet20", "dataset.normalization=imagenet", *SMALL]


class Zeros(nn.Module):
    """akamaster's LambdaLayer of option A."""

    def __init__(self, planes: int) -> None:
        super().__init__()
        self.planes = planes

    def forward(self, x: Tensor) -> Tensor:
        return pad(
            x[:, :, ::2, ::2], (0, 0, 0, 0, self.planes // 4, self.planes // 4), "constant", 0
        )


class AkamastersBlock(nn.Module):
    def __init__(self, in_planes: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_planes, planes, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride=1, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        changes = stride != 1 or in_planes != planes
        self.shortcut = Zeros(planes) if changes else nn.Sequential()

    def forward(self, x: Tensor) -> Tensor:
        out = relu(self.bn1(self.conv1(x)))
        return relu(self.bn2(self.conv2(out)) + self.shortcut(x))


class AkamastersResNet(nn.Module):
    def __init__(self, n: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, stride=1, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = self.stage(16, 16, n=n, stride=1)
        self.layer2 = self.stage(16, 32, n=n, stride=2)
        self.layer3 = self.stage(32, 64, n=n, stride=2)
        self.linear = nn.Linear(64, 10)

    def stage(self, in_planes: int, planes: int, *, n: int, stride: int) -> nn.Sequential:
        others = (AkamastersBlock(planes, planes, 1) for _ in range(n - 1))
        return nn.Sequential(AkamastersBlock(in_planes, planes, stride), *others)

    def forward(self, x: Tensor) -> Tensor:
        out = self.layer3(self.layer2(self.layer1(relu(self.bn1(self.conv1(x))))))
        return self.linear(avg_pool2d(out, out.size()[3]).view(out.size(0), -1))


@pytest.fixture
def theirs(tmp_path: Path) -> tuple[AkamastersResNet, Path]:
    network = stir(AkamastersResNet(3))
    state = {f"module.{name}": value for name, value in network.state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "akamaster.th")
    return network, tmp_path / "akamaster.th"


@pytest.mark.numerical
@torch.inference_mode()
def test_their_weights_give_their_logits(theirs: tuple[AkamastersResNet, Path]) -> None:
    network, path = theirs
    images = torch.randn(5, 3, 32, 32).double()
    expected = network.double()(images)
    opened = open_subject(path, [*FOREIGN, "model.zero_padding=both"])
    assert opened.network.architecture == cifar(20, shortcut=Shortcut.A)  # ours from now on
    torch.testing.assert_close(opened.network.double()(images), expected, rtol=1e-9, atol=1e-9)
    as_ours = open_subject(path, FOREIGN).network.double()(images)
    assert not torch.allclose(as_ours, expected, rtol=0.1, atol=0.1)


def test_what_is_exported_works_with_the_default(
    command: Command, theirs: tuple[AkamastersResNet, Path], tmp_path: Path
) -> None:
    _, path = theirs
    exported, scores = tmp_path / "ours.pth", [tmp_path / "a.npz", tmp_path / "b.npz"]
    words = ["model.zero_padding=both", "--export", exported, "--predictions", scores[0]]
    first = last_line(command("resnet-eval", "--ckpt", path, *FOREIGN, *words))
    again = command("resnet-eval", "--ckpt", exported, *FOREIGN, "--predictions", scores[1])
    assert last_line(again) == first
    assert_same(read(scores[1]).scores, read(scores[0]).scores)


def test_guessing_ends_with_what_to_try(
    command: Command, theirs: tuple[AkamastersResNet, Path], tmp_path: Path
) -> None:
    """Random weights guess; what has been trained here says itself how it was."""
    guessed = command("resnet-eval", "--ckpt", theirs[1], *FOREIGN)
    assert last_line(guessed)["top1_error"] > 70
    assert guessed.err.count("\n") == 1
    for part in ("near chance", "model.zero_padding=after or both", "dataset.normalization=paper"):
        assert part in guessed.err
    assert command("resnet-train", *TINY, "schedule.iterations=1", f"runs={tmp_path}").code == 0
    (run,) = tmp_path.rglob("seed0")
    known = command("resnet-eval", "--ckpt", run)
    assert (last_line(known)["top1_error"] > 70, known.err) == (True, "")


OTHERS = {
    "bottlenecks": imagenet(50, shortcut=Shortcut.A, stem=Stem.cifar, num_classes=7),
    "pre-activation": cifar(20, shortcut=Shortcut.A, num_classes=7, activation=Activation.pre),
    "resnet18": imagenet(18, shortcut=Shortcut.A, num_classes=7),
}


@pytest.mark.numerical
@pytest.mark.parametrize("name", OTHERS)
@torch.inference_mode()
def test_any_network_with_both_is_one_with_zeros_behind(name: str) -> None:
    """Its own shortcuts are those of the layout: the old channels in the middle."""
    net: Architecture = dataclasses.replace(
        OTHERS[name], blocks=(1, 2, 1), widths=(8, 8, 16), zero_padding=ZeroPadding.both
    )
    network = stir(ResNet(net)).double()
    images = torch.randn(3, 3, 64, 48).double()
    behind, state = with_zeros_behind(net, network.state_dict())
    ours = ResNet(behind).double().eval()
    ours.load_state_dict(state)
    torch.testing.assert_close(ours(images), network(images), rtol=1e-9, atol=1e-9)


def test_a_run_may_be_trained_with_both(command: Command, tmp_path: Path) -> None:
    """Its folder and its weights say so; the seeds' initial weights are the same."""
    words = [*TINY, "model.zero_padding=both", f"runs={tmp_path}"]
    assert command("resnet-train", *words).code == 0
    (result,) = tmp_path.rglob("result.json")
    assert "model.zero_padding=both" in str(result)
    out = tmp_path / "out.json"
    more = ["--json", out, "--export", tmp_path / "x.safetensors"]
    said = last_line(command("resnet-eval", "--ckpt", result.parent, *more))
    assert json.loads(out.read_text())["trained"][0]["recipe"]["model.zero_padding"] == "both"
    assert last_line(command("resnet-eval", "--ckpt", tmp_path / "x.safetensors")) == said


@pytest.mark.parametrize("words", [["shortcut=B"], ["model=plain20"]])
def test_only_shortcut_a_has_zeros(command: Command, words: list[str]) -> None:
    refused = command("resnet-train", *words, "model.zero_padding=both")
    check_refused(refused, 2, "model.zero_padding=both", "only shortcut=A")
    check_refused(command("resnet-train", "model.zero_padding=left"), 2, "zero_padding")

"""Weights with a card: measured anywhere as their run was, read by anyone, or refused by name."""

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import pad, relu

from resnet_cli.analysis.trained import published_command
from resnet_cli.data import synthetic
from resnet_cli.evaluation.card import read_card
from resnet_cli.evaluation.predictions import read
from resnet_cli.models.architecture import Shortcut, cifar
from resnet_cli.models.resnet import ResNet
from scripts import weights_table
from tests.faults.kinds import stopped_run
from tests.helpers.commands import TINY, Command, check_refused
from tests.helpers.numbers import assert_same
from tests.helpers.runs import folder_of, saved_values

WEIGHTS = Path(__file__).parent.parent.parent / "results" / "weights"


@pytest.fixture
def published(command: Command, tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """A file of weights, and what resnet-eval said of the run when it wrote it."""
    run = Path(shutil.copytree(stopped_run(), tmp_path / "run"))
    path, scores = tmp_path / "x.safetensors", tmp_path / "run.npz"
    words = ["precision=fp32", "--export", path, "--predictions", scores]
    made = command("resnet-eval", "--ckpt", run, *words)
    assert made.code == 0, made.err
    shutil.rmtree(run)
    return path, json.loads(made.out.splitlines()[-1])


def measured(command: Command, *words: Any, to: Path) -> dict[str, Any]:
    """What resnet-eval writes with --json."""
    done = command("resnet-eval", *words, "--json", to)
    assert done.code == 0, done.err
    return dict(json.loads(to.read_text()))


def header_of(path: Path) -> dict[str, Any]:
    with safetensors.safe_open(path, framework="pt") as file:
        return dict(json.loads(file.metadata()["resnet_cli"]))


def test_weights_are_measured_without_their_run_to_the_last_bit(
    command: Command, published: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    path, said = published
    words = ["precision=fp32", "--predictions", tmp_path / "weights.npz"]
    again = command("resnet-eval", "--ckpt", path, *words)
    assert again.code == 0, again.err
    assert json.loads(again.out.splitlines()[-1]) == said
    before, after = read(tmp_path / "run.npz"), read(tmp_path / "weights.npz")
    assert_same(after.scores, before.scores)


def test_weights_are_measured_in_fp32_however_their_run_was_trained(
    command: Command, tmp_path: Path
) -> None:
    """bf16 exists on some machines only, and each rounds in its own way."""
    words = [*TINY, "batch_size=8", "precision=bf16", f"runs={tmp_path / 'runs'}"]
    words += ["dataset.train_images=80", "dataset.test_images=40"]
    assert command("resnet-train", *words).code == 0
    run, path, told = folder_of(tmp_path / "runs"), tmp_path / "x.safetensors", tmp_path / "x.json"
    assert measured(command, "--ckpt", run, to=told)["precision"] == "bf16"
    written = measured(command, "--ckpt", run, "--export", path, to=told)
    assert written["precision"] == header_of(path)["measured"]["precision"] == "fp32"
    again = measured(command, "--ckpt", path, to=told)
    same = ("precision", "top1_error", "top5_error", "loss", "count")
    assert [again[name] for name in same] == [written[name] for name in same]
    asked = measured(command, "--ckpt", path, "precision=bf16", to=told)
    assert asked["precision"] == "bf16" and asked["loss"] != again["loss"]


def test_the_header_says_whose_weights_they_are(published: tuple[Path, dict[str, Any]]) -> None:
    path, said = published
    card, images = header_of(path), synthetic.draw(300, seed=0)[0]
    assert (card["network"], card["seed"], card["iteration"], card["commit"]) == (
        "resnet8-A",
        1,
        4,
        None,  # of a run that is not finished
    )
    assert card["architecture"]["blocks"] == [1, 1, 1]
    assert card["classes"] == list(synthetic.CLASSES)
    assert {name: card["measured"][name] for name in said} == said
    assert (card["measured"]["dataset"], card["measured"]["split"]) == ("synthetic", "test")
    config = json.dumps(card["config"], sort_keys=True).encode()
    assert card["config_sha256"] == hashlib.sha256(config).hexdigest()
    assert card["config"]["optimizer"]["momentum"] == 0.9
    # where and how the run happened is nobody's business
    assert not {"root", "mirror", "workers"} & card["config"]["dataset"].keys()
    assert not {"runs", "resume", "device"} & card["config"].keys()
    assert "runs=" in saved_values(stopped_run() / "checkpoints/last.pt")["command"]
    assert "model.depth=8" in card["command"] and "/" not in card["command"]
    mean = np.zeros((3, 32, 32))
    for image in images.numpy():
        mean += image / 255 / len(images)
    np.testing.assert_allclose(load_file(path)["pixel_mean"].numpy(), mean, atol=1e-6)


@pytest.mark.parametrize(
    ("command_line", "told"),
    [
        ("resnet-train ++runs=/a/b seed=1", "resnet-train seed=1"),
        ("resnet-train 'runs=/My Drive' model=plain20", "resnet-train model=plain20"),
        ("resnet-train runs='/a", ""),  # no command line: nothing is told
    ],
)
def test_the_command_of_a_card_names_no_folder(command_line: str, told: str) -> None:
    assert published_command(command_line) == told


class PlainBlock(nn.Module):
    """Two 3x3 convolutions and option A's shortcut, written from section 3.3."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.more, self.stride = outside - inside, 1 if inside == outside else 2
        self.conv1 = nn.Conv2d(inside, outside, 3, self.stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outside)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(relu(self.bn1(self.conv1(x)))))
        same = pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.more))
        return relu(y + same)


class PlainNetwork(nn.Module):
    """ResNet-8 under torchvision's names, without a line of ours."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(PlainBlock(16, 16))
        self.layer2 = nn.Sequential(PlainBlock(16, 32))
        self.layer3 = nn.Sequential(PlainBlock(32, 64))
        self.fc = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(x.mean(dim=(2, 3)))


@pytest.mark.parametrize(
    "network", [PlainNetwork(), ResNet(cifar(8, shortcut=Shortcut.A))], ids=["plain", "ours"]
)
def test_the_four_lines_of_the_model_card_load_them(
    published: tuple[Path, dict[str, Any]], network: nn.Module
) -> None:
    path, said = published
    (code,) = re.findall(r"```python\n(.*?)```", (WEIGHTS / "README.md").read_text(), re.DOTALL)
    assert len([line for line in code.splitlines() if line]) == 4
    images, labels = synthetic.draw(150, seed=1)
    names: dict[str, Any] = {"network": network, "images": images}
    exec(code.replace("results/weights/plain20.safetensors", str(path)), names)
    wrong = (names["logits"].argmax(dim=1) != labels).sum().item()
    assert 100 * wrong / 150 == pytest.approx(said["top1_error"])


def without_card(path: Path) -> None:
    save_file(load_file(path), path, metadata={"format": "pt"})


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def with_header(path: Path, **changes: Any) -> None:
    text = json.dumps(header_of(path) | changes)
    save_file(load_file(path), path, metadata={"resnet_cli": text})


def of_another_network(path: Path) -> None:
    header = header_of(path)
    config = header["config"] | {"model": header["config"]["model"] | {"depth": 14}}
    with_header(path, config=config)


def without_mean(path: Path) -> None:
    state, text = load_file(path), json.dumps(header_of(path))
    del state["pixel_mean"]
    save_file(state, path, metadata={"resnet_cli": text})


def with_nan(path: Path) -> None:
    state, text = load_file(path), json.dumps(header_of(path))
    state["fc.bias"][3] = torch.nan
    save_file(state, path, metadata={"resnet_cli": text})


BROKEN = {
    "without its card": (without_card, "say which network"),
    "truncated": (truncated, "cannot be read"),
    "of another network": (of_another_network, "is not of resnet14-A"),
    "without its mean": (without_mean, "no mean of the pixels"),
    "not finite": (with_nan, "'fc.bias' holds values that are not finite"),
    "a newer card": (lambda path: with_header(path, format=2), "a newer version wrote it"),
    "a field more": (lambda path: with_header(path, ema=True), "unknown field ema"),
    "another name": (lambda path: with_header(path, network="resnet56-A"), "contradicts itself"),
    "another seed": (lambda path: with_header(path, seed=2), "contradicts itself"),
    "std 0": (lambda path: with_header(path, std=[0.0, 1.0, 1.0]), "not above 0"),
    "no config": (lambda path: with_header(path, config=[]), "config is []"),
    "another config": (lambda path: with_header(path, config={"a": 1}), "unknown key a"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_weights_that_do_not_fit_are_refused_in_one_line(
    command: Command, published: tuple[Path, dict[str, Any]], kind: str
) -> None:
    break_it, told = BROKEN[kind]
    break_it(published[0])
    check_refused(command("resnet-eval", "--ckpt", published[0]), 2, told, "x.safetensors")


def test_a_pth_holds_the_weights_alone(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    assert command("resnet-eval", "--ckpt", stopped_run(), "--export", path).code == 0
    PlainNetwork().load_state_dict(torch.load(path, weights_only=True), strict=True)


def test_the_table_of_the_model_card_is_made_from_the_headers(
    published: tuple[Path, dict[str, Any]],
) -> None:
    path, said = published
    made = weights_table.table(path.parent)
    assert made.count("\n") == 3  # two lines of heading
    assert f"| x.safetensors | {said['top1_error']:.2f} | 1 | 150 images of synthetic" in made
    assert weights_table.table(WEIGHTS) in (WEIGHTS / "README.md").read_text()


def full_length() -> list[Path]:
    return sorted(WEIGHTS.glob("*.safetensors"))


@pytest.mark.numerical
@pytest.mark.skipif(not full_length(), reason="results/weights holds no weights yet")
def test_published_weights_give_the_published_number(
    command: Command, cifar10_root: Path, tmp_path: Path
) -> None:
    """One of them, on the real test set, to the last image, whatever this CPU multiplies in."""
    path = full_length()[0]
    card = read_card(path)
    assert card is not None and card.measured.dataset == "cifar10"
    shown = measured(
        command, "--ckpt", path, f"dataset.root={cifar10_root}", to=tmp_path / "x.json"
    )
    assert shown["count"] == card.measured.count == 10_000
    assert shown["top1_error"] == card.measured.top1_error
    assert shown["top5_error"] == card.measured.top5_error

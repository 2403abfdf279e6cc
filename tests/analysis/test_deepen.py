"""Identity layers, against the network they are added to."""

import csv
from pathlib import Path

import pytest
import torch

from resnet_cli.analysis.deepen import deepened
from resnet_cli.models.architecture import Shortcut, cifar, imagenet
from resnet_cli.models.resnet import ResNet
from resnet_cli.runtime.errors import UserError
from tests.helpers.commands import TINY, Command, check_refused
from tests.helpers.networks import stir

PLAIN = Shortcut.none


@pytest.mark.numerical
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@torch.no_grad()
def test_identity_layers_change_no_bit(layout: torch.memory_format) -> None:
    shallow = stir(ResNet(cifar(20, shortcut=PLAIN)))
    deep = deepened(shallow, cifar(56, shortcut=PLAIN))
    assert sum(p.numel() for p in deep.parameters()) == 853_018  # the paper's 56 layers
    images = torch.randn(4, 3, 32, 32).contiguous(memory_format=layout)
    expected = shallow.to(memory_format=layout)(images)
    assert torch.equal(deep.to(memory_format=layout)(images), expected)
    assert not torch.equal(ResNet(deep.architecture).eval()(images), expected)


@torch.no_grad()
def test_of_photographs_too() -> None:
    shallow = stir(ResNet(imagenet(18, shortcut=PLAIN, num_classes=5)))
    shallow.to(memory_format=torch.channels_last)  # as the deeper one: the same kernels
    deep = deepened(shallow, imagenet(34, shortcut=PLAIN, num_classes=5))
    images = torch.randn(1, 3, 64, 64)
    assert torch.equal(deep(images), shallow(images))


@pytest.mark.parametrize(
    ("depths", "shortcut", "words"),
    [
        ((20, 56), Shortcut.A, "plain networks"),
        ((56, 20), PLAIN, "layers added"),
        ((20, 20), PLAIN, "layers added"),
    ],
)
def test_what_cannot_be_made_is_refused(
    depths: tuple[int, int], shortcut: Shortcut, words: str
) -> None:
    few, many = depths
    with pytest.raises(UserError, match=words):
        deepened(ResNet(cifar(few, shortcut=shortcut)), cifar(many, shortcut=shortcut))


def test_the_command(command: Command, tmp_path: Path) -> None:
    folders = []
    for depth in (8, 14):
        runs = tmp_path / str(depth)
        words = [*TINY, "model=plain20", f"model.depth={depth}", f"runs={runs}"]
        assert command("resnet-train", *words).code == 0
        folders.append(next(path.parent for path in runs.rglob("result.json")))
    out = tmp_path / "out"
    options = ["--images", 50, "--out", out, "device=cpu"]
    done = command("resnet-analyze", "identity", "--ckpt", *folders, *options)
    assert done.code == 0, done.err
    with (out / "identity.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["role"] for row in rows[::2]] == ["trained", "constructed", "deeper, trained"]
    trained, constructed = rows[:2], rows[2:4]
    assert [row["error"] for row in trained] == [row["error"] for row in constructed]
    assert {row["logit_difference"] for row in constructed} == {"0.0"}
    assert {row["network"] for row in constructed} == {"plain14"}
    wrong = ["--depth", 9, *options]
    check_refused(
        command("resnet-analyze", "identity", "--ckpt", folders[0], *wrong), 2, "--depth 9", "6n+2"
    )

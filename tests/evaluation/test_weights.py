"""Weights to and from torchvision, in both kinds of file."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import torchvision
from torch import nn

from resnet_cli.evaluation.weights import export, load_weights, read, state_dict_of
from resnet_cli.models.architecture import Architecture, Shortcut, StrideIn
from resnet_cli.models.resnet import ResNet
from resnet_cli.models.zoo import NETWORKS
from resnet_cli.runtime.errors import UserError
from tests.helpers.networks import WIDER
from tests.helpers.numbers import assert_same

# torchvision projects where dimensions change and strides in the 3x3.
BY_TORCHVISION = {
    name: dataclasses.replace(NETWORKS[name], shortcut=Shortcut.B, stride_in=StrideIn.middle)
    for name in ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", *WIDER)
}
FEW = ["resnet18", "resnet34", "resnet50", "resnext50_32x4d"]
LARGE = sorted(BY_TORCHVISION.keys() - FEW)
CASES = [*FEW, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGE)]
SUFFIXES = [".pth", ".safetensors"]
IMAGES = torch.randn(2, 3, 48, 80, generator=torch.Generator().manual_seed(2))


def theirs(name: str) -> nn.Module:
    """torchvision's network with random weights and BN statistics that matter."""
    torch.manual_seed(0)
    return lively(torchvision.models.get_model(name, weights=None))


def lively(network: nn.Module) -> nn.Module:
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1)
            nn.init.normal_(layer.bias, std=0.1)
            layer.momentum = 1.0
    network.train()(IMAGES)
    return network.eval()


def check_same_logits(one: nn.Module, other: nn.Module) -> None:
    """In float64, to which both are turned: pooling sums in another order."""
    for network in (one, other):
        network.double()
    with torch.inference_mode():
        ours, wanted = one(IMAGES.double()), other(IMAGES.double())
    assert wanted.std() > 0.01  # there is something to agree on
    torch.testing.assert_close(ours, wanted, rtol=1e-9, atol=1e-9)


def save(state: dict[str, torch.Tensor], path: Path) -> None:
    if path.suffix == ".safetensors":
        safetensors.torch.save_file(state, path)
    else:
        torch.save(state, path)


@pytest.mark.parametrize("name", CASES)
def test_torchvisions_weights_give_its_logits(name: str, tmp_path: Path) -> None:
    reference, network = theirs(name), ResNet(BY_TORCHVISION[name]).eval()
    paths = [tmp_path / f"x{suffix}" for suffix in SUFFIXES]
    for path in paths:
        save(reference.state_dict(), path)
    for path in paths:
        for value in network.state_dict().values():
            value.zero_()
        load_weights(network, state_dict_of(read(path), path), path=path, name=name)
        check_same_logits(network, reference)


@pytest.mark.parametrize("name", CASES)
def test_ours_load_into_torchvision_strictly(name: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = lively(ResNet(BY_TORCHVISION[name])).to(memory_format=torch.channels_last)
    reference = torchvision.models.get_model(name, weights=None).eval()
    export(network, tmp_path / "x.pth")
    export(network, tmp_path / "x.safetensors")
    reference.load_state_dict(torch.load(tmp_path / "x.pth", weights_only=True), strict=True)
    check_same_logits(network, reference)
    for value in reference.state_dict().values():
        value.zero_()
    reference.load_state_dict(safetensors.torch.load_file(tmp_path / "x.safetensors"), strict=True)
    check_same_logits(network, reference)


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_timms_names_are_ours(name: str, tmp_path: Path) -> None:
    """Its networks into ours, and ours back into its, strictly."""
    timm = pytest.importorskip("timm", reason="needs timm to compare with its networks")
    torch.manual_seed(0)
    reference = lively(timm.create_model(name, pretrained=False))
    network = ResNet(BY_TORCHVISION[name]).eval()
    save(reference.state_dict(), tmp_path / "x.safetensors")
    state = state_dict_of(read(tmp_path / "x.safetensors"), tmp_path)
    load_weights(network, state, path=tmp_path, name=name)
    check_same_logits(network, reference)
    export(lively(network.float()), tmp_path / "back.safetensors")
    back = timm.create_model(name, pretrained=False).eval()
    back.load_state_dict(safetensors.torch.load_file(tmp_path / "back.safetensors"), strict=True)
    check_same_logits(network, back)


SMALL = dataclasses.replace(
    NETWORKS["resnet18"], blocks=(1, 1, 1, 1), widths=(8, 8, 16, 16), num_classes=7
)


@pytest.fixture
def small() -> ResNet:
    return ResNet(SMALL)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_round_trip_is_bit_equal(small: ResNet, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    export(small.to(memory_format=torch.channels_last), path)
    state, other = read(path), ResNet(SMALL)
    assert state.keys() == small.state_dict().keys()
    load_weights(other, state_dict_of(state, path), path=path, name="small")
    assert_same(other.state_dict(), small.state_dict())
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_compiled_network_exports_plain_names(small: ResNet, tmp_path: Path) -> None:
    compiled: Any = torch.compile(small)
    export(compiled, tmp_path / "x.safetensors")
    assert (
        safetensors.torch.load_file(tmp_path / "x.safetensors").keys() == small.state_dict().keys()
    )


@pytest.mark.parametrize("name", ["x.onnx", "x", "missing/x.pth", "folder.pth"])
def test_an_export_that_cannot_be_is_one_line(small: ResNet, tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.pth").mkdir()
    with pytest.raises(UserError, match=r"^--export .*name a file") as raised:
        export(small, tmp_path / name)
    assert "\n" not in str(raised.value)


def test_an_export_replaces_a_file_whole(
    small: ResNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"what was here")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        export(small, path)
    assert path.read_bytes() == b"what was here"
    assert [file.name for file in tmp_path.iterdir()] == ["x.safetensors"]


def test_broken_safetensors_are_one_line(small: ResNet, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    export(small, path)
    whole = path.read_bytes()
    for content in (b"", b"hello, world\n", whole[:100], whole[:-1], b"\xff" * 100):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"x\.safetensors cannot be read: ") as raised:
            read(path)
        assert "\n" not in str(raised.value)
    with pytest.raises(UserError, match="no such file"):
        read(tmp_path / "y.safetensors")


def test_safetensors_of_another_network_name_the_keys(small: ResNet, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    export(small, path)
    other: Architecture = dataclasses.replace(SMALL, num_classes=1000)
    with pytest.raises(UserError, match=r"fc.weight \[7, 16\], expected \[1000, 16\]"):
        load_weights(ResNet(other), state_dict_of(read(path), path), path=path, name="other")

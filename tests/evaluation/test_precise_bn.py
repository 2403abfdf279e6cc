"""BN statistics against the values of the whole pass, kept and taken together."""

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from resnet_cli.analysis import measure
from resnet_cli.evaluation.precise_bn import Moments, update_bn_stats
from resnet_cli.models.architecture import Architecture, Block, Shortcut, Stem, cifar
from resnet_cli.models.layers import BatchNorm, set_bn_groups
from resnet_cli.models.resnet import ResNet
from tests.helpers.commands import TINY, Command, last_line
from tests.helpers.numbers import assert_same
from tests.helpers.runs import folder_of

pytestmark = pytest.mark.numerical

IMAGENET = Architecture(
    stem=Stem.imagenet,
    block=Block.bottleneck,
    blocks=(1, 1, 1, 1),
    widths=(8, 8, 16, 16),
    shortcut=Shortcut.B,
    num_classes=10,
)
IMAGES = (
    torch.randn(22, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    * torch.linspace(0.5, 3, 22).view(-1, 1, 1, 1)
    + 2
)


EXACT = IMAGES.double()  # for networks in float64, whose convolutions round alike on every CPU


def trained(architecture: Architecture = IMAGENET, *, dtype: torch.dtype = torch.float64) -> ResNet:
    """A network whose running averages are of other images than these."""
    torch.manual_seed(0)
    network = ResNet(architecture).to(memory_format=torch.channels_last)
    network(torch.randn(8, 3, 64, 64))
    return network.to(dtype).eval()


def layers(network: nn.Module) -> dict[str, nn.BatchNorm2d]:
    return {
        name: part for name, part in network.named_modules() if isinstance(part, nn.BatchNorm2d)
    }


def expected(network: ResNet, batches: list[Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    """All inputs of each BN layer, kept; then their mean and unbiased variance in float64."""
    network = copy.deepcopy(network).train()
    inputs: dict[str, list[Tensor]] = {name: [] for name in layers(network)}
    for name, layer in layers(network).items():
        layer.register_forward_pre_hook(
            lambda _, given, name=name: inputs[name].append(given[0].detach().double())
        )
    for batch in batches:
        network(batch)
    whole = {name: torch.cat(parts).transpose(0, 1).flatten(1) for name, parts in inputs.items()}
    return {
        name: (values.mean(dim=1), values.var(dim=1, correction=1))
        for name, values in whole.items()
    }


@pytest.mark.parametrize("architecture", [IMAGENET, cifar(8, shortcut=Shortcut.A)])
@pytest.mark.parametrize("size", [7, 11, 22])
def test_statistics_are_those_of_all_values(architecture: Architecture, size: int) -> None:
    # 7: a last batch of one image
    network, batches = trained(architecture), list(EXACT.split(size))
    wanted = expected(network, batches)
    before = {name: value.clone() for name, value in network.named_parameters()}
    assert update_bn_stats(network, batches, dtype=torch.float32) == 22
    for name, layer in layers(network).items():
        mean, variance = wanted[name]
        # each image's map is summed in float32
        torch.testing.assert_close(layer.running_mean, mean, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(layer.running_var, variance, rtol=1e-6, atol=1e-7)
        assert layer.track_running_stats and not layer._forward_pre_hooks
    assert not any(part.training for part in network.modules())
    assert_same(dict(network.named_parameters()), before)
    assert all(value.grad is None for value in network.parameters())


def test_the_first_layer_does_not_see_the_batches() -> None:
    results = []
    for size in (7, 22):
        network = trained()
        update_bn_stats(network, EXACT.split(size), dtype=torch.float32)
        results.append(network.bn1.state_dict())
    torch.testing.assert_close(*results, rtol=1e-6, atol=1e-6)


def test_one_batch_then_eval_is_training_mode() -> None:
    """The statistics of one batch normalise that batch as training does, but for the unbiased
    variance.
    """
    network = trained(cifar(8, shortcut=Shortcut.A))
    update_bn_stats(network, [EXACT], dtype=torch.float32)
    evaluated = network(EXACT)
    torch.testing.assert_close(evaluated, network.train()(EXACT), rtol=1e-3, atol=1e-3)


def test_bf16_is_near() -> None:
    exact, near = trained(dtype=torch.float32), trained(dtype=torch.float32)
    update_bn_stats(exact, IMAGES.split(11), dtype=torch.float32)
    update_bn_stats(near, IMAGES.split(11), dtype=torch.bfloat16)
    for one, other in zip(layers(exact).values(), layers(near).values(), strict=True):
        assert one.running_var is not None
        assert other.running_var is not None
        assert other.running_var.dtype == torch.float32
        torch.testing.assert_close(one.running_var, other.running_var, rtol=0.1, atol=1e-3)


def test_a_diverged_networks_averages_are_forgotten() -> None:
    clean, network = trained(), trained()
    for layer in layers(network).values():
        assert layer.running_mean is not None
        assert layer.running_var is not None
        layer.running_mean.fill_(float("nan"))
        layer.running_var.fill_(float("inf"))
    for one in (clean, network):
        update_bn_stats(one, EXACT.split(11), dtype=torch.float32)
    assert_same(network.state_dict(), clean.state_dict())


def broken() -> Iterator[Tensor]:
    yield EXACT
    raise OSError("a truncated photograph")


@pytest.mark.parametrize(("batches", "error"), [(iter(()), ValueError), (broken(), OSError)])
def test_after_an_error_the_old_statistics_stand(
    batches: Iterator[Tensor], error: type[Exception]
) -> None:
    network = trained()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(error):
        update_bn_stats(network, batches, dtype=torch.float32)
    assert_same(network.state_dict(), before)
    assert not any(part.training for part in network.modules())
    assert all(
        layer.track_running_stats and not layer._forward_pre_hooks
        for layer in layers(network).values()
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_moments_are_exact_over_many_values(dtype: torch.dtype) -> None:
    """Single-precision sums over the batch, as BN's own, would be 1e-4 beside; sums of squares
    would lose the variance.
    """
    values = (
        torch.randn(100, 4, 112, 112) * torch.linspace(0.5, 3, 100).view(-1, 1, 1, 1) + 100
    ).to(dtype)
    moments = Moments()
    for part in values.contiguous(memory_format=torch.channels_last).split([1, 2, 47, 50]):
        moments.add(part)
    whole = values.double().transpose(0, 1).flatten(1)
    assert moments.count == whole.shape[1]
    torch.testing.assert_close(moments.mean, whole.mean(dim=1), rtol=1e-6, atol=0)
    torch.testing.assert_close(moments.variance, whole.var(dim=1), rtol=1e-6, atol=0)


def test_moments_are_unbiased() -> None:
    moments = Moments()
    for value in (1.0, 2.0, 6.0):  # one at a time
        moments.add(torch.full((1, 1, 1, 1), value))
    assert (moments.mean.item(), moments.variance.item()) == (3, 7)


def test_groups_normalize_by_themselves_as_in_training() -> None:
    """Later layers' inputs depend on which images were normalized together."""
    network, batches = trained(), [EXACT[:16]]
    set_bn_groups(network, 8)
    whole = expected(network, batches)
    update_bn_stats(network, batches, dtype=torch.float32)
    for name, layer in layers(network).items():
        mean, variance = whole[name]
        torch.testing.assert_close(layer.running_mean, mean, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(layer.running_var, variance, rtol=1e-5, atol=1e-6)


def test_a_runs_groups_are_those_of_its_measurement(
    command: Command, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = command("resnet-train", *TINY, "schedule.iterations=2", "bn_batch=8", f"runs={runs}")
    assert trained.code == 0, trained.err
    groups: list[int | None] = []

    def update(network: nn.Module, batches: Iterator[Tensor], *, dtype: torch.dtype) -> int:
        groups.extend(one.group_size for one in network.modules() if isinstance(one, BatchNorm))
        return update_bn_stats(network, batches, dtype=dtype)

    monkeypatch.setattr(measure, "update_bn_stats", update)
    last_line(command("resnet-eval", "--ckpt", folder_of(runs), "--bn", "population"))
    assert groups == [8] * 7

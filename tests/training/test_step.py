"""The step against PyTorch's own SGD written out, and what it does with a loss that is no
number.
"""

import copy
import shutil
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from resnet_cli.models.architecture import Shortcut, cifar
from resnet_cli.models.layers import set_bn_groups
from resnet_cli.models.resnet import ResNet
from resnet_cli.runtime.choices import Switch
from resnet_cli.runtime.compile import choose_compile, missing_for_compiling
from resnet_cli.runtime.errors import UserError
from resnet_cli.training.step import TrainStep, make_optimizer
from tests.helpers.networks import PAPER_SGD
from tests.helpers.numbers import assert_same


def make(
    dtype: torch.dtype = torch.float32,
    *,
    weights: torch.dtype = torch.float32,
    compiled: bool = False,
) -> TrainStep:
    torch.manual_seed(0)
    network = ResNet(cifar(8, shortcut=Shortcut.A)).to(weights)
    optimizer = make_optimizer(network, **PAPER_SGD)
    return TrainStep(network, optimizer, dtype=dtype, compiled=compiled)


def batches(count: int, size: int = 16) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [
        (
            torch.randn(size, 3, 32, 32, generator=generator),
            torch.randint(0, 10, (size,), generator=generator),
        )
        for _ in range(count)
    ]


@pytest.mark.numerical
@pytest.mark.parametrize(
    ("weights", "steps", "close"),
    [
        (torch.float64, 5, {"rtol": 1e-9, "atol": 1e-10}),
        # More steps than one would make a last bit grow, which differs from machine to machine.
        (torch.float32, 1, {"rtol": 1e-6, "atol": 1e-7}),
    ],
)
def test_steps_are_sgd_by_the_formula(
    weights: torch.dtype, steps: int, close: dict[str, Any]
) -> None:
    """v = 0.9 v + g + 1e-4 w; w = w - lr v, for everything learned, BN and biases too."""
    step = make(weights=weights)
    network: nn.Module = copy.deepcopy(step.network)
    momentum = {name: torch.zeros_like(weight) for name, weight in network.named_parameters()}
    loss_sum, wrong = 0.0, 0
    for number, (images, labels) in enumerate(batches(steps)):
        images = images.to(weights)
        lr = torch.tensor(0.1 if number < 3 else 0.01).item()  # as the device holds it, in float32
        step(images, labels, lr=lr)
        logits = network(images)
        loss = cross_entropy(logits.float(), labels)
        network.zero_grad()
        loss.backward()
        with torch.no_grad():
            for name, weight in network.named_parameters():
                assert weight.grad is not None
                momentum[name] = 0.9 * momentum[name] + weight.grad + 1e-4 * weight
                weight.sub_(lr * momentum[name])
        loss_sum += loss.item() * 16
        wrong += int((logits.argmax(1) != labels).sum())
    ours, theirs = dict(step.network.named_parameters()), dict(network.named_parameters())
    torch.testing.assert_close(ours, theirs, **close)
    *totals, nonfinite = step.read_totals()
    assert totals == [pytest.approx(loss_sum, rel=1e-6), wrong] and nonfinite is None


@pytest.mark.numerical
def test_bf16_keeps_weights_statistics_and_loss_in_fp32() -> None:
    step, exact = make(torch.bfloat16), make()
    for images, labels in batches(3):
        step(images, labels, lr=0.01)
        exact(images, labels, lr=0.01)
    assert {value.dtype for value in step.network.state_dict().values()} == {
        torch.float32,
        torch.int64,
    }
    assert step.read_totals()[0] == pytest.approx(exact.read_totals()[0], rel=0.02)


def test_every_bn_layer_has_counted_every_batch() -> None:
    step = make()
    for images, labels in batches(3):
        step(images, labels, lr=0.01)
    layers = [one for one in step.network.modules() if isinstance(one, torch.nn.BatchNorm2d)]
    assert [int(one.num_batches_tracked or 0) for one in layers] == [3] * len(layers) == [3] * 7


@pytest.mark.numerical
@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_a_bad_loss_never_reaches_the_weights(poison: float) -> None:
    step = make()
    good, bad, later = batches(3)
    step(*good, lr=0.1)
    before = {name: weight.clone() for name, weight in step.network.named_parameters()}
    counted = step.read_totals()
    bad[0][3] = poison
    step(*bad, lr=0.1)
    step(*later, lr=0.1)  # the host has not looked yet
    assert_same(dict(step.network.named_parameters()), before)
    assert step.read_totals() == (counted[0], counted[1], 1)  # one good step, then the bad one


@pytest.mark.skipif(
    missing_for_compiling() is not None,
    reason="PyTorch's compiler needs g++ or clang++ and Python.h",
)
@pytest.mark.parametrize("bn_batch", [None, pytest.param(32, marks=pytest.mark.slow)])
def test_50_compiled_steps_have_the_loss_curve_of_plain_ones(bn_batch: int | None) -> None:
    """In fp32, within a reordered sum: 1e-4.

    The rate is low, for training makes any rounding grow, that of a shuffled batch as well.
    """
    plain, compiled = make(), make(compiled=True)
    for step in (plain, compiled):
        set_bn_groups(step.network, bn_batch)
    before = [0.0, 0.0]
    for images, labels in batches(50, size=64):
        plain(images, labels, lr=0.001)
        compiled(images, labels, lr=0.001)
        now = [step.read_totals()[0] for step in (plain, compiled)]
        theirs, ours = (after - earlier for after, earlier in zip(now, before, strict=True))
        assert ours == pytest.approx(theirs, rel=1e-4)
        before = now


def test_without_a_compiler_a_long_run_goes_on_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.delenv("CXX", raising=False)
    assert choose_compile(Switch.auto, cpu, iterations=64_000) == (
        False,
        "a C++ compiler (g++ or clang++) is missing; continuing without",
    )
    assert choose_compile(Switch.auto, cpu, iterations=100)[0] is False
    with pytest.raises(UserError, match="compile=on: a C\\+\\+ compiler"):
        choose_compile(Switch.on, cpu, iterations=100)


@pytest.mark.numerical
def test_half_precision_survives_a_first_step_that_is_skipped() -> None:
    """The loss scaler skips a first step whose gradients overflow; momentum is 0 then, not
    whatever memory held.
    """
    step = make(torch.float16)
    step.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**126)
    before = {name: weight.clone() for name, weight in step.network.named_parameters()}
    step(*batches(1)[0], lr=0.1)
    assert_same(dict(step.network.named_parameters()), before)
    assert all(not state["momentum_buffer"].any() for state in step.optimizer.state.values())

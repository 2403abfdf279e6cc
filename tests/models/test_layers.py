"""What is written for the compiler against PyTorch's own kernels, run without it, and compiled."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, relu

from resnet_cli.models.layers import BatchNorm, BatchNormFunction, SaveForBackward, set_bn_groups
from resnet_cli.runtime.compile import missing_for_compiling
from tests.helpers.numbers import assert_same

needs_compiler = pytest.mark.skipif(
    missing_for_compiling() is not None,
    reason="PyTorch's compiler needs g++ or clang++ and Python.h",
)


def inputs(mean: float = 0.5, scale: float = 2.0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = (torch.randn(16, 6, 9, 7, generator=generator) * scale + mean).requires_grad_()
    weight, bias = (torch.randn(6, generator=generator).requires_grad_() for _ in range(2))
    return x, weight, bias, torch.randn(16, 6, 9, 7, generator=generator)


@pytest.mark.numerical
@pytest.mark.parametrize(("mean", "scale"), [(0.0, 1.0), (0.5, 2.0), (300.0, 0.5)])
def test_values_statistics_and_gradients_are_pytorchs(mean: float, scale: float) -> None:
    """In float64 PyTorch tells what is right.

    At a mean of 600 deviations a naive E[x^2] - E[x]^2 would keep no digit.
    """
    x, weight, bias, down = inputs(mean, scale)
    y, found_mean, found_variance = BatchNormFunction.apply(x, weight, bias, 1e-5)
    found = torch.autograd.grad(y, (x, weight, bias), down)
    exact = [value.detach().double().requires_grad_() for value in (x, weight, bias)]
    right = batch_norm(exact[0], None, None, exact[1], exact[2], training=True)
    expected = torch.autograd.grad(right, exact, down.double())
    # A few roundings of float32 at the size of the input, counted in its deviations.
    roundings = 10 * torch.finfo(torch.float32).eps * (1 + mean / scale)
    torch.testing.assert_close(y.double(), right, rtol=roundings, atol=roundings)
    torch.testing.assert_close(
        found_mean.double(), exact[0].mean(dim=(0, 2, 3)), rtol=1e-6, atol=1e-6
    )
    torch.testing.assert_close(
        found_variance.double(), exact[0].var(dim=(0, 2, 3), correction=0), rtol=1e-5, atol=1e-6
    )
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(
            mine.double(), theirs, rtol=roundings, atol=roundings * float(theirs.abs().max())
        )


@pytest.mark.numerical
def test_a_second_relu_of_the_gradient_changes_nothing() -> None:
    x = torch.randn(4, 6, 5, 5).requires_grad_()
    down = torch.randn(4, 6)
    twice = torch.autograd.grad(SaveForBackward.apply(relu(x)).mean(dim=(2, 3)), x, down)[0]
    once = torch.autograd.grad(relu(x).mean(dim=(2, 3)), x, down)[0]
    assert_same(twice, once)


@needs_compiler
@pytest.mark.parametrize("group", [None, 4])
def test_a_compiled_layer_is_the_plain_one_with_its_running_averages(group: int | None) -> None:
    torch.manual_seed(0)
    plain, compiled = nn.Sequential(BatchNorm(6)), nn.Sequential(BatchNorm(6))
    for net in (plain, compiled):
        set_bn_groups(net, group)
    run = torch.compile(compiled)
    for _ in range(3):
        x = torch.randn(16, 6, 5, 5) + 1
        mine, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
        y, right = run(mine), plain(theirs)
        (y * x).sum().backward()
        (right * x).sum().backward()
        torch.testing.assert_close(y, right, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(compiled.state_dict(), plain.state_dict(), rtol=1e-5, atol=1e-6)
    for mine_, theirs_ in zip(compiled.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine_.grad, theirs_.grad, rtol=1e-4, atol=1e-4)

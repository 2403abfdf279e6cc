"""Apple's GPUs: when one is chosen and with what, which needs none; and, on a CPU that is taken for
one, that a step and its counts do without what PyTorch lacks there.
"""

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from resnet_cli.data import augment
from resnet_cli.evaluation import metrics
from resnet_cli.models.architecture import Shortcut, cifar
from resnet_cli.models.resnet import ResNet
from resnet_cli.runtime.choices import DeviceChoice, Precision, Switch
from resnet_cli.runtime.compile import choose_compile
from resnet_cli.runtime.cuda_graph import choose_capture
from resnet_cli.runtime.device import choose_device, choose_dtype, count_devices, describe
from resnet_cli.runtime.errors import UserError
from resnet_cli.training import step as step_module
from resnet_cli.training.step import TrainStep, make_optimizer
from tests.helpers.commands import TINY, Command, check_refused
from tests.helpers.networks import PAPER_SGD
from tests.helpers.numbers import assert_same

MPS = torch.device("mps")
needs_mps = pytest.mark.skipif(
    not torch.backends.mps.is_available(), reason="needs a GPU of Apple's"
)


@pytest.mark.parametrize(
    ("choice", "cuda", "mps", "will_do", "chosen"),
    [
        ("auto", False, True, True, "mps"),
        ("auto", True, True, True, "cuda"),
        ("auto", False, False, True, "cpu"),
        ("auto", False, True, False, "cpu"),
        ("cpu", True, True, True, "cpu"),
        ("mps", True, True, True, "mps"),
        ("mps", False, False, True, "device=mps: PyTorch sees no GPU of Apple's here"),
        ("mps", False, True, False, "device=mps: has neither the float64"),
        ("cuda", False, True, True, "device=cuda: PyTorch sees no CUDA device here"),
    ],
)
def test_which_device_is_chosen(
    monkeypatch: pytest.MonkeyPatch, choice: str, cuda: bool, mps: bool, will_do: bool, chosen: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: int(cuda))
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    if chosen.startswith("device="):
        with pytest.raises(UserError, match=chosen):
            choose_device(DeviceChoice(choice), mps_will_do=will_do)
    else:
        assert choose_device(DeviceChoice(choice), mps_will_do=will_do).type == chosen


def test_what_is_chosen_for_it() -> None:
    assert choose_dtype(Precision.auto, MPS) is torch.float32
    assert choose_dtype(Precision.bf16, MPS) is torch.bfloat16
    assert choose_compile(Switch.auto, MPS, iterations=64_000) == (False, "not on mps")
    with pytest.raises(UserError, match="compile=on: PyTorch's compiler is only being tried out"):
        choose_compile(Switch.on, MPS, iterations=64_000)
    assert not choose_capture(Switch.auto, MPS, dtype=torch.float32, world=1)
    assert count_devices(MPS) == 1
    assert describe(MPS).startswith("Apple GPU")


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="for where there is none")
def test_elsewhere_it_is_refused_in_a_line(command: Command, runs: Any) -> None:
    words = [word for word in TINY if word != "device=cpu"]
    done = command("resnet-train", *words, "device=mps", f"runs={runs}")
    check_refused(done, 2, "device=mps: PyTorch sees no GPU of Apple's here")


@needs_mps
def test_a_run_on_it(command: Command, runs: Any) -> None:
    words = [word for word in TINY if word != "device=cpu"]
    done = command("resnet-train", *words, "device=mps", f"runs={runs}")
    assert done.code == 0, done.err
    assert "Apple GPU" in done.out


class NoFloat64(TorchDispatchMode):
    """PyTorch as on mps, which knows no float64 and whose SGD takes no `found_inf`."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for one in found if isinstance(found, list | tuple) else (found,):
            assert not (isinstance(one, torch.Tensor) and one.dtype is torch.float64), func
        assert not (kwargs or {}).get("found_inf"), func
        return found


@pytest.fixture
def limited(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (step_module, metrics, augment):
        monkeypatch.setattr(module, "is_limited", lambda _: True)


def make() -> TrainStep:
    torch.manual_seed(0)
    network = ResNet(cifar(8, shortcut=Shortcut.A))
    optimizer = make_optimizer(network, **PAPER_SGD)
    return TrainStep(network, optimizer, dtype=torch.float32, compiled=False)


def test_the_mode_sees_float64() -> None:
    with NoFloat64(), pytest.raises(AssertionError):
        make()


@pytest.mark.numerical
def test_a_step_as_on_mps_is_the_usual_one(request: pytest.FixtureRequest) -> None:
    """One step: more would make a last bit grow. The sums lose less than a unit of 2^-20 each."""
    images, labels = torch.randn(16, 3, 32, 32), torch.arange(16) % 10
    usual = make()
    usual(images, labels, lr=0.1)
    request.getfixturevalue("limited")
    with NoFloat64():
        ours = make()
        ours(images, labels, lr=0.1)
    theirs = dict(usual.network.named_parameters())
    torch.testing.assert_close(dict(ours.network.named_parameters()), theirs, rtol=1e-6, atol=1e-7)
    (loss, *rest), (expected, *others) = ours.read_totals(), usual.read_totals()
    assert rest == others
    assert loss == pytest.approx(expected, abs=16 * 2**-20)
    saved = ours.totals_of_ranks
    again = make()
    again.restore_totals(saved)
    assert_same(again.totals, ours.totals)


@pytest.mark.usefixtures("limited")
def test_a_bad_loss_reaches_no_weight_there_either() -> None:
    step, labels = make(), torch.arange(16) % 10
    images = torch.randn(16, 3, 32, 32)
    step(images, labels, lr=0.1)
    before = {name: weight.clone() for name, weight in step.network.named_parameters()}
    counted = step.read_totals()
    step(torch.full_like(images, float("nan")), labels, lr=0.1)
    step(images, labels, lr=0.1)
    assert_same(dict(step.network.named_parameters()), before)
    assert step.read_totals() == (*counted[:2], 1)


@pytest.mark.usefixtures("limited")
def test_errors_and_color_noise_do_without_float64() -> None:
    scores, labels = torch.rand(50, 10).softmax(dim=1), torch.arange(50) % 10
    with NoFloat64():
        count = metrics.ErrorCount(torch.device("cpu"))
        count.add(scores, labels)
        noise = augment.color_noise(torch.arange(50))
    assert count.errors().top1_error == 2 * int((scores.argmax(1) != labels).sum())
    assert noise.isfinite().all() and noise.std() > 0

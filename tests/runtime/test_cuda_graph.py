"""A captured step against the plain one, with a stand-in for CUDA's capture where there is no
GPU.
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from resnet_cli.data.choices import Normalization
from resnet_cli.data.images import Split, fit_normalizer
from resnet_cli.data.resident import ResidentLoader
from resnet_cli.evaluation.views import scores_of
from resnet_cli.models.architecture import Shortcut, cifar
from resnet_cli.models.fold_bn import FoldedBN
from resnet_cli.models.resnet import ResNet
from resnet_cli.runtime.choices import Switch
from resnet_cli.runtime.cuda_graph import (
    CALLS_BEFORE_CAPTURE,
    CapturedGraph,
    Replay,
    _capture,
    choose_capture,
)
from resnet_cli.runtime.device import make_exact
from resnet_cli.runtime.errors import UserError
from resnet_cli.training.ema import Ema
from resnet_cli.training.step import TrainStep, make_optimizer
from tests.helpers.networks import PAPER_SGD
from tests.helpers.numbers import assert_same

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
CPU = torch.device("cpu")


def pretend(work: Callable[..., Any], inputs: list[Tensor]) -> Replay:
    """What a CUDA graph does, on a CPU: rehearses, then works on the same input tensors and
    into the same output each time it is played.
    """
    for _ in range(CALLS_BEFORE_CAPTURE):
        output = work(*inputs)

    def play() -> None:
        again = work(*inputs)
        if isinstance(again, Tensor):
            output.copy_(again)

    return play, output


def refuse(work: Callable[..., Any], inputs: list[Tensor]) -> Replay:
    """Breaks off with the gradients made and not yet used."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(torch.optim.SGD, "step", lambda *_: stop())
        work(*inputs)
    raise AssertionError


def stop() -> None:
    raise RuntimeError("operation not permitted when stream is capturing\nmore")


def captured_by(
    capture: Callable[..., Replay] | None, warnings: list[str]
) -> Callable[..., CapturedGraph]:
    return partial(CapturedGraph, warn=warnings.append, capture=capture)


def make(
    device: torch.device = CPU,
    capture: Callable[..., CapturedGraph] | None = None,
    *,
    modern: bool = False,
) -> tuple[TrainStep, ResidentLoader]:
    """A net of eight layers, and 40 images in batches of 16: every third batch crosses an
    epoch's end. `modern`: with label smoothing and an average of the weights.
    """
    make_exact()
    torch.manual_seed(0)
    network = ResNet(cifar(8, shortcut=Shortcut.A)).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    generator = torch.Generator().manual_seed(1)
    split = Split(
        torch.randint(0, 256, (40, 3, 32, 32), dtype=torch.uint8, generator=generator),
        torch.arange(40) % 10,
    )
    normalizer = fit_normalizer(Normalization.paper, split).to(device)
    loader = ResidentLoader(split=split.to(device), normalizer=normalizer, batch_size=16, seed=5)
    step = TrainStep(
        network,
        make_optimizer(network, **PAPER_SGD),
        dtype=torch.float32,
        compiled=False,
        prepare=loader.prepare,
        capture=capture,
        label_smoothing=0.1 if modern else 0.0,
        ema=Ema(network, 0.9) if modern else None,
    )
    return step, loader


def curve(step: TrainStep, loader: ResidentLoader, *, steps: int = 50) -> Iterator[float]:
    """The loss after each step; the rate falls once."""
    before = 0.0
    for iteration in range(steps):
        if step.ema:
            step.ema.begin_step(iteration)
        step(*loader.draw(iteration), lr=0.05 if iteration < 30 else 0.005)
        now = step.read_totals()[0]
        yield now - before
        before = now


def assert_same_state(one: TrainStep, other: TrainStep) -> None:
    assert_same(one.network.state_dict(), other.network.state_dict())
    assert_same(list(one.state()), list(other.state()))


@pytest.mark.numerical
@pytest.mark.parametrize("modern", [False, True])
def test_50_captured_steps_are_50_plain_ones_bit_for_bit(modern: bool) -> None:
    """The rehearsals leave no trace; new batches, epochs and rates reach the capture."""
    warnings: list[str] = []
    plain = make(modern=modern)
    captured = make(capture=captured_by(pretend, warnings), modern=modern)
    assert list(curve(*captured)) == list(curve(*plain))
    assert_same_state(captured[0], plain[0])
    assert not warnings


@pytest.mark.numerical
def test_what_cannot_be_captured_goes_on_as_it_is_and_says_so_once() -> None:
    warnings: list[str] = []
    plain, captured = make(), make(capture=captured_by(refuse, warnings))
    assert list(curve(*captured, steps=5)) == list(curve(*plain, steps=5))
    assert warnings == [
        "no CUDA graph could be captured; continuing without, more slowly: operation not permitted "
        "when stream is capturing"
    ]


def test_no_memory_while_capture_is_not_taken_for_a_graph_that_cannot_be() -> None:
    def full(*_: Any) -> Replay:
        raise torch.OutOfMemoryError("CUDA out of memory")

    step, loader = make(capture=captured_by(full, []))
    with pytest.raises(torch.OutOfMemoryError):
        step(*loader.draw(0), lr=0.1)


@pytest.mark.numerical
def test_captured_testing_takes_up_new_weights_and_a_last_batch_of_another_size() -> None:
    step, loader = make()
    folded = FoldedBN(step.network)
    folded.capture(captured_by(pretend, []))
    for iteration in range(3):
        step(*loader.draw(iteration), lr=0.1)
        folded.refresh()
        for count in (8, 8, 5):
            images = torch.randn(count, 3, 32, 32)
            plain = copy.deepcopy(FoldedBN(step.network).network)
            assert_same(
                scores_of(folded.network, images, dtype=torch.float32),
                scores_of(plain, images, dtype=torch.float32),
            )


class Waits(TorchDispatchMode):
    """Notes operators that make the host wait for a device, or whose result has a shape only
    the device knows.
    """

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if any(
            word in str(func)
            for word in (
                "_local_scalar_dense",
                "nonzero",
                "is_nonzero",
                "equal.default",
                "masked_select",
                "unique",
            )
        ):
            self.found.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("modern", [False, True])
def test_nothing_in_a_step_waits_for_the_device(modern: bool) -> None:
    step, loader = make(modern=modern)
    with Waits() as waits:
        for iteration in range(4):
            if step.ema:
                step.ema.begin_step(iteration)
            step(*loader.draw(iteration), lr=0.1)
    assert waits.found == []
    with Waits() as waits:
        step.totals.sum().item()
    assert waits.found  # it would be seen


def test_when_a_run_is_captured() -> None:
    cuda, fp32, fp16 = torch.device("cuda"), torch.float32, torch.float16
    assert choose_capture(Switch.auto, cuda, dtype=fp32, world=1)
    assert not choose_capture(Switch.off, cuda, dtype=fp32, world=1)
    with pytest.raises(UserError, match="cuda_graph=on: dropout would"):
        choose_capture(Switch.on, cuda, dtype=fp32, world=1, draws=True)
    for device, dtype, world in ((CPU, fp32, 1), (cuda, fp16, 1), (cuda, fp32, 2)):
        assert not choose_capture(Switch.auto, device, dtype=dtype, world=world)
        with pytest.raises(UserError, match="cuda_graph=on: "):
            choose_capture(Switch.on, device, dtype=dtype, world=world)


class Cuda:
    """What a capture asks of torch.cuda, answered as by torch 2.11: a capture that fails leaves its
    stream the current one.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.before = self.current = SimpleNamespace(wait_stream=lambda other: None)
        self.calls: list[str] = []
        self.graphs: list[Any] = []
        monkeypatch.setattr(torch.cuda, "Stream", lambda: SimpleNamespace(**vars(self.before)))
        monkeypatch.setattr(torch.cuda, "current_stream", lambda: self.current)
        monkeypatch.setattr(torch.cuda, "set_stream", self.set_stream)
        monkeypatch.setattr(torch.cuda, "stream", self.stream)
        monkeypatch.setattr(torch.cuda, "graph", self.graph)
        monkeypatch.setattr(torch.cuda, "CUDAGraph", self.new_graph)
        monkeypatch.setattr(
            torch._C,
            "_cuda_clearCublasWorkspaces",
            lambda: self.calls.append("clear"),
            raising=False,
        )

    def set_stream(self, stream: Any) -> None:
        self.current = stream

    def new_graph(self) -> Any:
        graph = SimpleNamespace(
            replay=lambda: self.calls.append("replay"), reset=lambda: self.calls.append("reset")
        )
        self.graphs.append(graph)
        return graph

    @contextmanager
    def stream(self, stream: Any) -> Iterator[None]:
        outer, self.current = self.current, stream
        yield
        self.current = outer

    @contextmanager
    def graph(self, graph: Any, *, stream: Any, capture_error_mode: str) -> Iterator[None]:
        assert graph is self.graphs[-1] and capture_error_mode == "thread_local"
        outer, self.current = self.current, stream
        self.calls.append("begin")
        yield
        self.current = outer
        self.calls.append("end")


def test_a_capture_that_fails_gives_back_the_stream_and_its_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cuda, done = Cuda(monkeypatch), [0]

    def work(x: Tensor) -> Tensor:
        done[0] += 1
        if done[0] > CALLS_BEFORE_CAPTURE:  # in the capture
            raise RuntimeError("operation not permitted when stream is capturing")
        return x

    with pytest.raises(RuntimeError, match="not permitted"):
        _capture(work, [torch.ones(1)])
    assert cuda.current is cuda.before
    assert cuda.calls == ["clear", "begin", "reset", "clear"]


def test_a_capture_has_workspaces_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda, x = Cuda(monkeypatch), torch.ones(1)
    replay, output = _capture(lambda x: x, [x])
    replay()
    assert output is x and cuda.current is cuda.before
    assert cuda.calls == ["clear", "begin", "end", "clear", "replay"]


@pytest.mark.cuda
@needs_cuda
def test_a_cuda_graph_is_the_plain_step_bit_for_bit() -> None:
    cuda, warnings = torch.device("cuda"), list[str]()
    plain, captured = make(cuda), make(cuda, captured_by(None, warnings))
    assert list(curve(*captured)) == list(curve(*plain))
    assert_same_state(captured[0], plain[0])
    assert not warnings


@pytest.mark.cuda
@needs_cuda
def test_two_graphs_played_at_the_same_time_do_not_disturb_each_other() -> None:
    cuda, warnings = torch.device("cuda"), list[str]()
    pairs = [make(cuda, captured_by(None, warnings)) for _ in range(2)]
    streams = [torch.cuda.Stream() for _ in pairs]
    torch.cuda.synchronize()
    for iteration in range(50):
        for (step, loader), stream in zip(pairs, streams, strict=True):
            with torch.cuda.stream(stream):
                step(*loader.draw(iteration), lr=0.05)
    torch.cuda.synchronize()
    alone = make(cuda)
    for iteration in range(50):
        alone[0](*alone[1].draw(iteration), lr=0.05)
    for step, _ in pairs:
        assert_same_state(step, alone[0])
    assert not warnings


@pytest.mark.cuda
@needs_cuda
def test_the_host_never_waits_between_two_log_points() -> None:
    warnings: list[str] = []
    step, loader = make(torch.device("cuda"), captured_by(None, warnings))
    step(*loader.draw(0), lr=0.1)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for iteration in range(1, 20):  # through several epochs; a wait raises
            step(*loader.draw(iteration), lr=0.1)
        with pytest.raises(RuntimeError, match="synchroniz"):  # it would be seen
            step.totals.sum().item()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert not warnings  # the graph was what ran
    assert step.totals[2].item() == 20  # and all of its steps were taken


@pytest.mark.cuda
@needs_cuda
def test_a_graph_that_cannot_be_captured_on_a_gpu_leaves_the_plain_step_working() -> None:
    cuda, warnings = torch.device("cuda"), list[str]()
    plain, waiting = make(cuda), make(cuda, captured_by(None, warnings))
    prepare = waiting[0].prepare

    def waits(*drawn: Tensor) -> tuple[Tensor, Tensor]:
        images, labels = prepare(*drawn)
        return images * float(images.abs().sum().item() >= 0), labels  # a graph cannot hold this

    waiting[0].prepare = waits
    assert list(curve(*waiting, steps=5)) == list(curve(*plain, steps=5))
    assert len(warnings) == 1

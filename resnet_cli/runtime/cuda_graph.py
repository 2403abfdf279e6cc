"""CUDA graphs: GPU work is captured once and then replayed, one launch instead of hundreds."""

import gc
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from resnet_cli.runtime.choices import Switch
from resnet_cli.runtime.errors import UserError

# Before the capture, libraries choose their algorithms, and lazily created tensors are created.
CALLS_BEFORE_CAPTURE = 3

_Work = Callable[..., Any]  # on tensors on the device
Replay = tuple[Callable[[], None], Any]  # replays the graph; its output, overwritten each time


def choose_capture(choice: Switch, device: torch.device, *, dtype: torch.dtype, world: int) -> bool:
    """Whether the steps of a run are captured.

    Raises UserError if `choice` is `on` but they cannot be.
    """
    reasons = {
        "there is no CUDA device": device.type != "cuda",
        "the loss scaler of precision=fp16 decides on the host": dtype is torch.float16,
        "several devices exchange gradients in between": world > 1,
    }
    against = next((reason for reason, holds in reasons.items() if holds), None)
    if choice is Switch.on and against:
        raise UserError(f"cuda_graph=on: {against}; use cuda_graph=auto")
    return choice is not Switch.off and against is None


def _capture(work: _Work, inputs: list[Tensor]) -> Replay:
    """Captures `work(*inputs)`. Raises RuntimeError if it does what a graph cannot hold."""
    gc.collect()  # frees the graphs of runs that have ended
    # Graphs captured on one stream share workspaces and must not run at the same time, so each has
    # a stream of its own. PyTorch hands out 32 of them in turn: in a long sweep two graphs meet on
    # one, and a workspace that is made for this capture alone keeps them apart.
    stream, current = torch.cuda.Stream(), torch.cuda.current_stream()
    graph = torch.cuda.CUDAGraph()
    try:
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            for _ in range(CALLS_BEFORE_CAPTURE):
                work(*inputs)
        current.wait_stream(stream)
        torch._C._cuda_clearCublasWorkspaces()
        # thread_local: the threads of a loader may call CUDA during the capture
        with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
            output = work(*inputs)
    except BaseException:
        with suppress(RuntimeError):
            graph.reset()  # else its memory is kept
        raise
    finally:
        torch.cuda.set_stream(current)  # a capture that fails leaves its own, up to torch 2.11
        torch._C._cuda_clearCublasWorkspaces()
    return graph.replay, output


class CapturedGraph:
    """`work(*inputs)` as one CUDA graph, captured at the first call.

    `work` must not wait for the device nor draw random numbers; the next call overwrites its
    output. `state` yields every tensor that it changes: they are restored after the calls before
    the capture. If the capture fails, `warn` is told once and `work` is always called directly, as
    it is for inputs of other shapes than the first.
    """

    def __init__(
        self,
        work: _Work,
        *,
        state: Callable[[], Iterable[Tensor]],
        warn: Callable[[str], None],
        capture: Callable[..., Replay] | None = None,
    ) -> None:
        self.work, self.state, self.warn, self.capture = work, state, warn, capture or _capture
        self.inputs: list[Tensor] | None = None
        self.replay: Callable[[], None] | None = None
        self.output: Any = None

    def __call__(self, *inputs: Tensor) -> Any:
        """The output of `work`; waits for nothing after the first call."""
        if self.inputs is None:
            self.inputs = [given.clone() for given in inputs]
            self._prepare(self.inputs)
        pairs = list(zip(self.inputs, inputs, strict=True))
        if self.replay is None or any(static.shape != given.shape for static, given in pairs):
            return self.work(*inputs)
        for static, given in pairs:
            static.copy_(given, non_blocking=True)
        self.replay()
        return self.output

    def _prepare(self, inputs: list[Tensor]) -> None:
        """Captures the graph and restores the state. Raises torch.OutOfMemoryError."""
        before = [(tensor, tensor.clone()) for tensor in self.state()]
        try:
            self.replay, self.output = self.capture(self.work, inputs)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            self.warn(
                "no CUDA graph could be captured; continuing without, more slowly: "
                f"{str(error).splitlines()[0]}"
            )
        with torch.no_grad():
            for tensor, value in before:
                tensor.copy_(value)

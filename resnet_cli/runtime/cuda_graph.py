"""Work for a GPU recorded once and replayed from then on: one launch in the place of hundreds."""

import gc
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from resnet_cli.runtime.choices import Switch
from resnet_cli.runtime.errors import UserError

# before the recording: libraries choose their algorithms, lazily made tensors are made
WARMUP_CALLS = 3

Work = Callable[..., Any]  # of tensors on the device
Recording = tuple[Callable[[], None], Any]  # plays it; what it returns, written anew each time


def choose_capture(choice: Switch, device: torch.device, dtype: torch.dtype, *, world: int) -> bool:
    """Whether a run's steps are recorded. Raises UserError for `on` where they cannot be."""
    reasons = {
        "there is no CUDA device": device.type != "cuda",
        "the loss scaler of precision=fp16 decides on the host": dtype is torch.float16,
        "several devices exchange gradients in between": world > 1,
    }
    against = next((reason for reason, holds in reasons.items() if holds), None)
    if choice is Switch.on and against:
        raise UserError(f"cuda_graph=on: {against}; use cuda_graph=auto")
    return choice is not Switch.off and against is None


class CapturedGraph:
    """`work(*inputs)` as one CUDA graph, recorded at the first call.

    `work` takes tensors whose shapes stay the same, waits for nothing and draws no random numbers;
    what it returns is overwritten by the next call. `state` names every tensor that it changes: the
    rehearsals before the recording leave no trace in them. Where it cannot be recorded, `warn` is
    told once and `work` is called as it is, as it is for inputs of other shapes.
    """

    def __init__(
        self,
        work: Work,
        *,
        state: Callable[[], Iterable[Tensor]],
        warn: Callable[[str], None],
        record: Callable[..., Recording] | None = None,
    ) -> None:
        self.work, self.state, self.warn, self.record = work, state, warn, record or cuda_graph
        self.inputs: list[Tensor] | None = None
        self.play: Callable[[], None] | None = None
        self.output: Any = None

    def __call__(self, *inputs: Tensor) -> Any:
        """Waits for nothing but the recording."""
        if self.inputs is None:
            self.prepare(inputs)
        assert self.inputs is not None
        if self.play is None or any(
            kept.shape != given.shape for kept, given in zip(self.inputs, inputs, strict=True)
        ):
            return self.work(*inputs)
        for kept, given in zip(self.inputs, inputs, strict=True):
            kept.copy_(given, non_blocking=True)
        self.play()
        return self.output

    def prepare(self, inputs: tuple[Tensor, ...]) -> None:
        """Records. Raises torch.OutOfMemoryError."""
        self.inputs = [one.clone() for one in inputs]
        before = [(tensor, tensor.clone()) for tensor in self.state()]
        try:
            self.play, self.output = self.record(self.work, self.inputs)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            self.warn(
                "no CUDA graph could be recorded, going on without, slower: "
                f"{str(error).splitlines()[0]}"
            )
        with torch.no_grad():
            for tensor, value in before:
                tensor.copy_(value)


def cuda_graph(work: Work, inputs: list[Tensor]) -> Recording:
    """Raises RuntimeError where `work` does what a graph cannot hold."""
    gc.collect()  # a run that has ended holds its graph's memory until then
    # its own: graphs recorded on one stream share workspaces and must not run at the same time
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARMUP_CALLS):
            work(*inputs)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    # thread_local: what the threads of a loader do meanwhile is none of the graph's business
    with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
        output = work(*inputs)
    return graph.replay, output

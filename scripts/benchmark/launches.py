"""How many Triton kernels a compiled step launches on a GPU, counted without one.

    python -m scripts.benchmark.launches resnet20

The network is traced here, and PyTorch's compiler then writes its code as for an H100 (sm_90),
which is counted but not run: convolutions and matrix products are libraries' calls, everything else
is a Triton kernel. What would ask the driver is answered instead; so this is a process of its own.
"""

import contextlib
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch._dynamo.backends.common import aot_autograd
from torch._functorch._aot_autograd.utils import make_boxed_func
from torch._functorch.partitioners import min_cut_rematerialization_partition
from torch._guards import TracingContext, tracing
from torch._inductor.compile_fx import _recursive_joint_graph_passes, compile_fx_inner
from torch._inductor.decomposition import select_decomp_table
from torch._inductor.graph import GraphLowering
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx import GraphModule
from torch.fx.passes.fake_tensor_prop import FakeTensorProp
from torch.nn.functional import cross_entropy

from resnet_cli.models import layers
from resnet_cli.models.resnet import ResNet
from resnet_cli.models.zoo import NETWORKS
from resnet_cli.training.casting import CastOnce

BATCH = 128
_GPU = torch.device("cuda:0")
_LAUNCH = re.compile(r"^ +triton_\w+\.run\(", re.MULTILINE)
_H100 = SimpleNamespace(
    name="NVIDIA H100",
    major=9,
    minor=0,
    multi_processor_count=132,
    total_memory=80 * 2**30,
    warp_size=32,
    regs_per_multiprocessor=65536,
    max_threads_per_multi_processor=2048,
    max_threads_per_block=1024,
    shared_memory_per_block=49152,
    shared_memory_per_block_optin=232448,
    shared_memory_per_multiprocessor=233472,
    L2_cache_size=50 * 2**20,
    gcnArchName="",
)


def count(name: str) -> dict[str, int]:
    """Triton launches of the forward and the backward pass in bf16, batch 128, channels-last."""
    found = {}
    strides: dict[
        str, list[int]
    ] = {}  # of what the backward pass gets, as the forward pass left it
    graphs = dict(zip(("forward", "backward"), _trace(name), strict=True))
    with _as_on_a_gpu():
        for which, (graph, inputs) in graphs.items():
            code, strides = _generate(graph, inputs, strides, is_backward=which == "backward")
            found[which] = len(_LAUNCH.findall(code))
    return found


def _on_no_cpu(_: Tensor) -> bool:
    return False


def _trace(name: str) -> list[tuple[GraphModule, Sequence[Any]]]:
    """The graphs of the forward and the backward pass, as the compiler gets them."""
    graphs: list[tuple[GraphModule, Sequence[Any]]] = []

    def keep(graph: GraphModule, inputs: Sequence[Any]) -> Callable[..., Any]:
        graphs.append((graph, list(inputs)))
        kept: Callable[..., Any] = make_boxed_func(graph.forward)
        return kept

    def part(joint: GraphModule, inputs: Sequence[Any], **others: Any) -> Any:
        _recursive_joint_graph_passes(joint)
        return min_cut_rematerialization_partition(joint, inputs, compiler="inductor", **others)

    backend = aot_autograd(
        fw_compiler=keep,
        bw_compiler=keep,
        partition_fn=part,
        decompositions=select_decomp_table(),
    )
    network = ResNet(NETWORKS[name]).to(memory_format=torch.channels_last)
    images = torch.randn(BATCH, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    compiled = torch.compile(CastOnce(network, torch.bfloat16).train(), backend=backend)
    with mock.patch.object(layers, "_is_on_cpu", _on_no_cpu), torch.autocast("cpu"):
        logits = compiled(images)
    cross_entropy(logits.float(), torch.zeros(BATCH, dtype=torch.int64)).backward()
    return graphs


def _generate(
    graph: GraphModule, inputs: Sequence[Any], strides: dict[str, list[int]], *, is_backward: bool
) -> tuple[str, dict[str, list[int]]]:
    """The code of a graph on the GPU, and the strides of what it returns, by name."""
    _move(graph)
    names = [node.name for node in graph.graph.nodes if node.op == "placeholder"]
    fake = FakeTensorMode(allow_non_fake_inputs=True)
    with fake:
        moved = [
            torch.empty_strided(
                one.shape, strides.get(name, one.stride()), dtype=one.dtype, device=_GPU
            )
            if isinstance(one, Tensor)
            else one
            for name, one in zip(names, inputs, strict=True)
        ]
        FakeTensorProp(graph, fake).propagate_dont_convert_inputs(*moved)
    written: list[str] = []
    left: dict[str, list[int]] = {}
    (output,) = (node for node in graph.graph.nodes if node.op == "output")

    def write(lowered: GraphLowering) -> None:
        code, _ = lowered.codegen()
        written.append(str(getattr(code, "value", code)))
        for node, value in zip(output.args[0], lowered.graph_outputs, strict=True):
            if node is not None and hasattr(value, "get_stride"):
                left[node.name] = [int(stride) for stride in value.get_stride()]
        raise RuntimeError("the code is there: nothing of it is to be compiled")

    with (
        mock.patch.object(GraphLowering, "compile_to_module", write),
        tracing(TracingContext(fake)),
    ):
        try:
            compile_fx_inner(graph, moved, is_backward=is_backward)
        except RuntimeError:
            if not written:
                raise
    return written[0], left


def _move(graph: GraphModule) -> None:
    """Makes a graph that was traced on the CPU one of the GPU."""
    for node in graph.graph.nodes:
        node.args = tuple(_GPU if isinstance(one, torch.device) else one for one in node.args)
        node.kwargs = {
            key: _GPU if isinstance(one, torch.device) else one for key, one in node.kwargs.items()
        }
    graph.recompile()


@contextlib.contextmanager
def _as_on_a_gpu() -> Iterator[None]:
    """While open, PyTorch is told what it would ask the driver of an H100."""
    from triton.backends.compiler import GPUTarget  # type: ignore[import-untyped]
    from triton.runtime import driver  # type: ignore[import-untyped]

    class Driver:
        def get_current_target(self) -> GPUTarget:
            return GPUTarget("cuda", 90, 32)

    answers: dict[Any, dict[str, Any]] = {
        torch.cuda: {
            "is_available": lambda: True,
            "device_count": lambda: 1,
            "current_device": lambda: 0,
            "get_device_properties": lambda *_: _H100,
            "_get_device_properties": lambda *_: _H100,
            "get_device_capability": lambda *_: (9, 0),
            "get_device_name": lambda *_: _H100.name,
            "is_bf16_supported": lambda *_, **__: True,
            "_lazy_init": lambda: None,
            "get_rng_state": lambda *_: torch.zeros(16, dtype=torch.uint8),
            "set_rng_state": lambda *_: None,
            "is_current_stream_capturing": lambda: False,
            "_exchange_device": lambda _: 0,
            "_maybe_exchange_device": lambda _: 0,
            "synchronize": lambda *_: None,
        },
        # cuDNN's, where images or weights are channels-last
        torch._C: {"_conv_determine_backend_memory_format": lambda *_: torch.channels_last},
        sys.modules["torch._inductor.scheduler"]: {"has_triton": lambda: True},
        sys.modules["torch.utils._triton"]: {
            "has_triton": lambda: True,
            "triton_hash_with_backend": lambda: "none",
        },
    }
    driver.set_active(Driver())
    with contextlib.ExitStack() as stack:
        for module, named in answers.items():
            for name, answer in named.items():
                stack.enter_context(mock.patch.object(module, name, answer, create=True))
        yield


if __name__ == "__main__":
    print(json.dumps({name: count(name) for name in sys.argv[1:]}))

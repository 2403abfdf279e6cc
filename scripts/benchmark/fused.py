"""What a step through fused blocks launches, and what its kernels take on an H100, without one.

    python -m scripts.benchmark.fused resnet20

Launches are recorded instead of made. Each kernel is then compiled down to sm_90's machine code, as
it would be at its first launch, and the compiler's own tools read off what it takes.
"""

import contextlib
import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import triton  # type: ignore[import-untyped]
from torch import Tensor
from triton.backends.compiler import GPUTarget  # type: ignore[import-untyped]
from triton.compiler import ASTSource  # type: ignore[import-untyped]

from resnet_cli.models.fused import kernels
from resnet_cli.models.fused.trunk import FusedResNet
from resnet_cli.models.resnet import ResNet
from resnet_cli.models.zoo import NETWORKS
from resnet_cli.training.casting import CastOnce
from scripts.benchmark.kernels import OperationCounter, make_step

BATCH = 128
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
SHARED = 227 * 2**10  # bytes that a program may have on an H100 or H200
_NAMES = (
    "convolve",
    "batch_statistics",
    "pool",
    "unpool",
    "input_gradient",
    "weight_gradient",
    "reduce",
)
_POINTERS = {torch.bfloat16: "*bf16", torch.float16: "*fp16", torch.float32: "*fp32"}
_TOOL = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
_USAGE = re.compile(r"REG:(\d+) STACK:(\d+) .*LOCAL:(\d+)")


@dataclass(frozen=True)
class Variant:
    """A kernel as it is compiled for some arguments."""

    name: str
    types: tuple[tuple[str, str], ...]  # of the arguments
    constants: tuple[tuple[str, Any], ...]
    aligned: tuple[int, ...]  # arguments that 16 divides


class Recorder:
    """Stands for a kernel: keeps what it is launched with, and does nothing."""

    def __init__(self, kernel: Any, launches: list[Variant]) -> None:
        self.kernel, self.launches = kernel, launches

    def __getitem__(self, grid: tuple[int, ...]) -> Any:
        def launch(*arguments: Any, **constants: int) -> None:
            assert all(0 < side < 2**16 for side in grid)
            self.launches.append(self.variant(arguments, constants))

        return launch

    def variant(self, arguments: tuple[Any, ...], constants: dict[str, Any]) -> Variant:
        """As Triton tells its variants apart: None and 1 are constants, 16 may divide others."""
        types, aligned = {}, []
        constants = dict(constants)
        for place, given in enumerate(arguments):
            name = self.kernel.arg_names[place]
            if given is None or (type(given) is int and given == 1):
                constants[name] = given
            elif isinstance(given, Tensor):
                types[name] = _POINTERS[given.dtype]
                aligned.append(place)
            else:
                types[name] = "i32" if isinstance(given, int) else "fp32"
                aligned += [place] * (isinstance(given, int) and given % 16 == 0)
        types |= dict.fromkeys(constants, "constexpr")
        return Variant(
            self.kernel.__name__, tuple(types.items()), tuple(constants.items()), tuple(aligned)
        )


@contextlib.contextmanager
def recording() -> Iterator[list[Variant]]:
    """While open, the fused kernels are not launched, but noted."""
    launches: list[Variant] = []
    with contextlib.ExitStack() as stack:
        for name in _NAMES:
            recorder = Recorder(getattr(kernels, name), launches)
            stack.enter_context(mock.patch.object(kernels, name, recorder))
        yield launches


def record(name: str, dtype: torch.dtype) -> tuple[list[Variant], list[Variant]]:
    """The launches of the forward and of the backward pass."""
    network: torch.nn.Module = FusedResNet(
        ResNet(NETWORKS[name]).to(memory_format=torch.channels_last)
    )
    if dtype is not torch.float32:
        network = CastOnce(network, dtype)
    images = torch.empty(BATCH, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    with recording() as launches, torch.autocast("cpu", dtype, dtype is not torch.float32):
        logits = network(images)
        forward = len(launches)
        logits.float().sum().backward()
    return launches[:forward], launches[forward:]


def compile_for_h100(variant: Variant) -> dict[str, Any]:
    """Registers of a thread, bytes of them spilled, and bytes of shared memory of a program."""
    source = ASTSource(
        getattr(kernels, variant.name),
        dict(variant.types),
        dict(variant.constants),
        {(place,): [["tt.divisibility", 16]] for place in variant.aligned},
    )
    compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32))
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(compiled.asm["cubin"])
        file.flush()
        told = subprocess.run(
            [_TOOL, "-res-usage", file.name], capture_output=True, text=True, check=True
        ).stdout
    usage = _USAGE.search(told)
    assert usage, told
    registers, stack, local = map(int, usage.groups())
    ptx = compiled.asm["ptx"]
    products = next((one for one in ("wgmma", "mma.sync", "fma") if one in ptx), "none")
    return {
        "registers": registers,
        "spilled": stack + local,
        "shared": compiled.metadata.shared,
        "products": products,
    }


def count(name: str) -> dict[str, int]:
    """Fused launches of the forward and the backward pass of a step in bf16, and how many other
    operations it has, those for the batch and for the update included.
    """
    forward, backward = record(name, torch.bfloat16)
    step, loader = make_step(name, FusedResNet)
    drawn = loader.draw(0)
    with recording() as launches, OperationCounter() as others:
        step._train_on(*drawn)
    assert len(launches) == len(forward) + len(backward)
    return {"forward": len(forward), "backward": len(backward), "others": others.counts.total()}


def measure(name: str, dtype: torch.dtype) -> dict[str, dict[str, Any]]:
    """Of each kernel: its launches in a step, its variants, and the most that any of them takes."""
    forward, backward = record(name, dtype)
    launches = Counter([*forward, *backward])
    found: dict[str, dict[str, Any]] = {}
    for kernel in _NAMES:
        variants = [one for one in launches if one.name == kernel]
        taken = [compile_for_h100(one) for one in variants]
        found[kernel] = {
            "launches": sum(launches[one] for one in variants),
            "variants": len(variants),
            **{key: max(one[key] for one in taken) for key in ("registers", "spilled", "shared")},
            "products": sorted({one["products"] for one in taken}),
        }
    return found


def main(names: list[str]) -> None:
    found = {
        name: count(name) | {key: measure(name, dtype) for key, dtype in DTYPES.items()}
        for name in names
    }
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])

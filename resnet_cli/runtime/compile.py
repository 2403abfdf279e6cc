"""PyTorch's compiler: whether it pays for a run, and whether it is available."""

import importlib.util
import logging
import os
import shutil
import struct
import sysconfig
import time
from pathlib import Path

import torch

from resnet_cli.runtime.choices import Switch
from resnet_cli.runtime.errors import UserError

# On 2 AMX cores, compiling ResNet-20 takes 25 s and saves 30 ms of each 90 ms step: it breaks even
# after about 850 iterations. Deeper networks break even sooner, since their blocks are alike:
# ResNet-110 takes 60 s and saves 120 ms per step. This is about twice that, to be safe.
_COMPILE_PAYS_AFTER = 2000
# In multiply-adds: compiling ResNet-20 for evaluation takes 10 s and saves 25 us for each image of
# 41M multiply-adds, so it breaks even after about 1.6e13.
_TESTING_PAYS_AFTER = 3e13


def choose_compile(
    choice: Switch,
    device: torch.device,
    *,
    iterations: int,
    activation_checkpointing: bool = False,
) -> tuple[bool, str]:
    """Whether to compile a run, and the reason in words.

    `iterations` is the length of the schedule, not what is left of it, so that a resumed run
    decides the same. Raises UserError if `choice` is `on` but compiling is impossible.
    """
    if choice is Switch.off:
        return False, "compile=off"
    if device.type == "mps":
        if choice is Switch.on:
            raise UserError(
                "compile=on: PyTorch's compiler is only being tried out on mps; use compile=auto"
            )
        return False, "not on mps"
    if activation_checkpointing and choice is Switch.on:
        raise UserError(
            "compile=on and activation_checkpointing=true do not go together: the compiler "
            "itself decides what is recomputed"
        )
    if activation_checkpointing:
        return False, "activation_checkpointing=true"
    if choice is Switch.auto and device.type != "cpu":
        return False, "not on CUDA, unless compile=on"
    if choice is Switch.auto and iterations < _COMPILE_PAYS_AFTER:
        return False, f"under {_COMPILE_PAYS_AFTER} iterations it does not pay"
    missing = missing_for_compiling() if device.type == "cpu" else None
    if missing and choice is Switch.on:
        raise UserError(
            f"compile=on: {missing} is missing, which PyTorch's compiler needs; install it, "
            "or use compile=auto"
        )
    if missing:
        return False, f"{missing} is missing; continuing without"
    return True, "compile=on" if choice is Switch.on else "a long run"


def seconds_to_compile(depth: int) -> float:
    """About how long a network of `depth` layers takes, from the two times above, to 5 s."""
    return 5 * round((25 + (60 - 25) * (depth - 20) / (110 - 20)) / 5)


def compile_for_testing(choice: Switch, device: torch.device, *, multiply_adds: float) -> bool:
    """Whether to compile a network that is only evaluated, for this total of multiply-adds."""
    possible = device.type == "cpu" and missing_for_compiling() is None
    return possible and (
        choice is Switch.on or (choice is Switch.auto and multiply_adds >= _TESTING_PAYS_AFTER)
    )


def validate_fused_blocks(device: torch.device) -> None:
    """Raises UserError where Triton's kernels cannot run."""
    if device.type != "cuda":
        raise UserError(f"fused_blocks=true: only on CUDA, not on {device.type}; leave it out")
    if importlib.util.find_spec("triton") is None:
        raise UserError(
            "fused_blocks=true: Triton is missing, which PyTorch for CUDA brings on Linux; leave "
            "it out"
        )


def missing_for_compiling() -> str | None:
    """What PyTorch's CPU compiler lacks on this machine, in words; None if it lacks nothing."""
    compilers = (os.environ.get("CXX", ""), "g++", "clang++")
    if not any(shutil.which(name) for name in compilers if name):
        return "a C++ compiler (g++ or clang++)"
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        return "Python.h (of python3-dev)"
    return None


def start_compiling() -> None:
    """Prepares the compiler for a network; to be called before each `torch.compile`.

    Discards what earlier runs of a sweep have compiled in this process; the cache on disk stays.
    """
    from torch._inductor.runtime.cache_dir_utils import cache_dir  # it wakes the compiler

    for path in Path(cache_dir()).rglob("*.so"):
        _drop_if_broken(path)
    torch.compiler.reset()  # after eight networks of one class it would silently stop compiling
    # it warns that CUDA is missing, even if nobody asked for it
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)


_ELF64 = struct.Struct("<40xQ10xHH")  # of a header: where the sections are told, their size, number
_LINKED_WITHIN = 5.0  # seconds; by then no linker of another process is still writing


def _drop_if_broken(library: Path) -> None:
    """Removes a library that a killed compiler or a full disk has cut short.

    The compiler would take it as it is, and each run with the same network would fail for ever.
    """
    try:
        while _is_cut_short(library):
            age = time.time() - library.stat().st_mtime
            if age > _LINKED_WITHIN or age < 0:
                library.unlink()
            else:
                time.sleep(0.5)
    except FileNotFoundError:
        return  # done, by us or by another process


def _is_cut_short(library: Path) -> bool:
    """Whether the end of an ELF file is missing; False for other machines' formats."""
    with library.open("rb") as file:
        size, head = os.fstat(file.fileno()).st_size, file.read(_ELF64.size)
    if size < _ELF64.size or not any(head):  # linkers write the head last
        return True
    if not head.startswith(b"\x7fELF\x02\x01"):
        return False
    offset, entry, count = _ELF64.unpack(head)  # the last part of a file, as linkers write it
    return size < offset + entry * count

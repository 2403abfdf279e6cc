"""The machine: which device, which number format, and whether compiling pays."""

import logging
import os
import platform
import re
import resource
import shutil
import sysconfig
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

import torch
from torch import Tensor, nn

from resnet_cli.errors import UserError


class DeviceChoice(StrEnum):
    auto = "auto"  # cuda where there is one
    cpu = "cpu"
    cuda = "cuda"


class Precision(StrEnum):
    auto = "auto"  # bf16 where the hardware multiplies it, else fp32
    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"


class Compile(StrEnum):
    auto = "auto"  # on where the run is long enough to win the compilation back
    on = "on"
    off = "off"


DTYPES = {Precision.fp32: torch.float32, Precision.bf16: torch.bfloat16, Precision.fp16: torch.float16}

# On 2 AMX cores compiling ResNet-20 takes 19 s and saves about 20 ms of each 95 ms step: even after about 900 iterations.
# Both grow with depth alike. Twice that, so that compiling is never the slower choice.
COMPILE_PAYS_AFTER = 2000


def choose_device(choice: DeviceChoice, number: int = 0) -> torch.device:
    """The device to train on, of GPUs that with this number. Raises UserError where it is not there."""
    cuda = torch.cuda.is_available()
    if choice is DeviceChoice.cuda and not cuda:
        raise UserError("device=cuda: PyTorch sees no CUDA device here; use device=auto or device=cpu")
    if not cuda or choice is DeviceChoice.cpu:
        return torch.device("cpu")
    there = torch.cuda.device_count()
    if 1 < there <= number:
        raise UserError(f"process {number + 1} of this machine has no GPU: there are {there}")
    return torch.device("cuda", number if there > 1 else 0)  # srun may show each process its own GPU alone


def cores() -> int:
    """CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def peak_memory() -> float:
    """The most this process ever held, in GiB."""
    with suppress(OSError):  # Linux; what getrusage tells there counts the parent's memory in, from before the exec
        return int(re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[0]) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**30  # bytes, on a Mac


def count_devices(device: torch.device) -> int:
    """How many processes can train side by side: GPUs, or on a CPU its cores."""
    return torch.cuda.device_count() if device.type == "cuda" else cores()


def make_exact() -> None:
    """On CUDA: the same convolution algorithm every time, so that a resumed run is bit-equal, and fp32 that is not TF32."""
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = False


def choose_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """What convolutions multiply in; weights, BN statistics and the loss stay float32."""
    if precision is not Precision.auto:
        return DTYPES[precision]
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        cpu = torch.cpu.get_capabilities()
        fast = bool(cpu.get("amx_bf16") or cpu.get("avx512_bf16") or cpu.get("bf16"))
    return torch.bfloat16 if fast else torch.float32


def precision_name(dtype: torch.dtype) -> str:
    return next(str(name) for name, value in DTYPES.items() if value is dtype)


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """Mixed precision as a context; for float32 one that does nothing."""
    return torch.autocast(device.type, dtype=dtype, enabled=dtype is not torch.float32)


def choose_compile(choice: Compile, device: torch.device, *, iterations: int) -> tuple[bool, str]:
    """Whether to compile a run of `iterations`, and why.

    These are the schedule's, not what is left: a resumed run decides the same. Raises UserError for `on` where it cannot be.
    """
    if choice is Compile.off:
        return False, "compile=off"
    if choice is Compile.auto and device.type != "cpu":
        return False, "not on CUDA, unless compile=on"
    if choice is Compile.auto and iterations < COMPILE_PAYS_AFTER:
        return False, f"under {COMPILE_PAYS_AFTER} iterations it does not pay"
    missing = missing_for_compiling() if device.type == "cpu" else None
    if missing and choice is Compile.on:
        raise UserError(f"compile=on: {missing} is missing, which PyTorch's compiler needs; install it, or use compile=auto")
    if missing:
        return False, f"{missing} is missing; going on without"
    return True, "compile=on" if choice is Compile.on else "a long run"


def missing_for_compiling() -> str | None:
    """What PyTorch's CPU compiler lacks on this machine, in words."""
    compilers = (os.environ.get("CXX", ""), "g++", "clang++")
    if not any(shutil.which(name) for name in compilers if name):
        return "a C++ compiler (g++ or clang++)"
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        return "Python.h (of python3-dev)"
    return None


def compile_network(network: nn.Module) -> Callable[[Tensor], Tensor]:
    """`network` compiled at its first call, whatever a sweep has compiled in this process before."""
    torch.compiler.reset()  # after eight networks of one class it would quietly stop compiling
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # it warns of a missing CUDA nobody asked for
    return torch.compile(network)


def describe(device: torch.device) -> str:
    """The device in words: `Intel Xeon, 2 threads`, `NVIDIA H200`."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name = torch.cpu.get_capabilities().get("cpu_name") or platform.processor() or platform.machine()
    threads = torch.get_num_threads()
    return f"{name}, {threads} thread{'s' * (threads != 1)}"

"""The machine: which device, which number format, and how memory is kept."""

import ctypes
import math
import os
import platform
import re
import resource
from contextlib import suppress
from pathlib import Path

import torch

from resnet_cli.runtime.choices import DeviceChoice, Precision
from resnet_cli.runtime.errors import UserError

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # <malloc.h>

DTYPES = {
    Precision.fp32: torch.float32,
    Precision.bf16: torch.bfloat16,
    Precision.fp16: torch.float16,
}


def choose_device(choice: DeviceChoice, number: int = 0) -> torch.device:
    """The device to train on, of GPUs that with this number.

    Raises UserError where it is not there.
    """
    cuda = torch.cuda.is_available()
    if choice is DeviceChoice.cuda and not cuda:
        raise UserError(
            "device=cuda: PyTorch sees no CUDA device here; use device=auto or device=cpu"
        )
    if not cuda or choice is DeviceChoice.cpu:
        return torch.device("cpu")
    there = torch.cuda.device_count()
    if 1 < there <= number:
        raise UserError(f"process {number + 1} of this machine has no GPU: there are {there}")
    # srun may show each process its own GPU alone
    return torch.device("cuda", number if there > 1 else 0)


def cores() -> int:
    """CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def peak_memory() -> float:
    """The most this process ever held, in GiB."""
    # Linux; what getrusage tells there counts the parent's memory in, from before the exec
    with suppress(OSError):
        return (
            int(re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[0]) / 2**20
        )
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**30  # bytes, on a Mac


def count_devices(device: torch.device) -> int:
    """How many processes can train side by side: GPUs, or on a CPU its cores."""
    return torch.cuda.device_count() if device.type == "cuda" else cores()


def make_exact() -> None:
    """On CUDA: the same convolution algorithm every time, so that a resumed run is bit-equal,
    and fp32 that is not TF32.
    """
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = False


def free_memory(device: torch.device) -> float:
    """Bytes that this process could still take: of the GPU, or of the machine within the limits
    set for it. Infinite where nobody tells.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    found = [math.inf]
    with suppress(OSError, ValueError, IndexError):
        found.append(
            1024
            * int(re.findall(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())[0])
        )
    with suppress(OSError, ValueError, IndexError):  # ulimit -v
        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        taken = 1024 * int(
            re.findall(r"VmSize:\s+(\d+) kB", Path("/proc/self/status").read_text())[0]
        )
        found.append(math.inf if limit == resource.RLIM_INFINITY else limit - taken)
    with suppress(OSError, ValueError, IndexError):  # a container's limit
        folder = Path("/sys/fs/cgroup")
        # would be given up
        cache = int(
            re.findall(r"^inactive_file (\d+)", (folder / "memory.stat").read_text(), re.MULTILINE)[
                0
            ]
        )
        found.append(
            int((folder / "memory.max").read_text())
            - int((folder / "memory.current").read_text())
            + cache
        )
    return max(0.0, min(found))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that no memory is left, on the GPU or off it."""
    return isinstance(
        error, MemoryError | torch.OutOfMemoryError
    ) or "DefaultCPUAllocator: " in str(error)


def keep_memory() -> None:
    """Lets glibc keep what is freed instead of handing it back to Linux, which would have to clear
    every page anew at each step.

    Large blocks come from the heap then, too, where the next step finds them again.
    """
    with suppress(AttributeError, OSError, TypeError):  # musl, a Mac
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, -1)


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


def describe(device: torch.device) -> str:
    """The device in words: `Intel Xeon, 2 threads`, `NVIDIA H200`."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name = (
        torch.cpu.get_capabilities().get("cpu_name") or platform.processor() or platform.machine()
    )
    threads = torch.get_num_threads()
    return f"{name}, {threads} thread{'s' * (threads != 1)}"

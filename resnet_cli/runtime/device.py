"""The device and number format to compute with, and the memory of the machine."""

import ctypes
import math
import os
import platform
import re
import resource
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch

from resnet_cli.runtime.choices import DeviceChoice, Precision
from resnet_cli.runtime.errors import UserError

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # <malloc.h>

DTYPES = {
    Precision.fp32: torch.float32,
    Precision.bf16: torch.bfloat16,
    Precision.fp16: torch.float16,
}


def choose_device(
    choice: DeviceChoice, number: int = 0, *, mps_will_do: bool = True
) -> torch.device:
    """The device to train on; `number` is that of the GPU on this machine.

    Apple's GPUs will not do for what needs float64 or several processes. Raises UserError if there
    is no such device.
    """
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if choice is DeviceChoice.cuda and not cuda:
        raise UserError(
            "device=cuda: PyTorch sees no CUDA device here; use device=auto or device=cpu"
        )
    if choice is DeviceChoice.mps and not mps:
        raise UserError(
            "device=mps: PyTorch sees no GPU of Apple's here; use device=auto or device=cpu"
        )
    if choice is DeviceChoice.mps and not mps_will_do:
        raise UserError(
            "device=mps: has neither the float64 that measuring needs nor an exchange between "
            "processes; use device=cpu"
        )
    if choice is DeviceChoice.cuda or (choice is DeviceChoice.auto and cuda):
        return torch.device("cuda", gpu_number(number))
    if choice is DeviceChoice.mps or (choice is DeviceChoice.auto and mps and mps_will_do):
        return torch.device("mps")
    return torch.device("cpu")


def is_limited(device: torch.device) -> bool:
    """Whether PyTorch has there neither float64 nor an SGD that skips a step by itself: on mps."""
    return device.type == "mps"


def gpu_number(local_rank: int) -> int:
    """Which of the GPUs it sees belongs to a process of this machine. Raises UserError."""
    count = torch.cuda.device_count()
    if 1 < count <= local_rank:
        raise UserError(f"process {local_rank + 1} of this machine has no GPU: there are {count}")
    return local_rank if count > 1 else 0  # srun may show each process only its own GPU


def cores() -> int:
    """Number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def peak_gpu_memory(device: torch.device) -> float | None:
    """Peak of the tensors of this process on its GPU, in GiB; None on a CPU."""
    if device.type != "cuda":
        return None
    return torch.cuda.max_memory_allocated(device) / 2**30


def peak_memory() -> float:
    """Peak memory of this process on the host, in GiB."""
    # On Linux, getrusage includes the parent's memory from before the exec.
    with suppress(OSError):
        return _kilobytes("/proc/self/status", "VmHWM") / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**30  # bytes, on a Mac


def count_devices(device: torch.device) -> int:
    """How many processes can train at the same time: the number of GPUs, or of CPU cores."""
    counts = {"cuda": torch.cuda.device_count, "mps": lambda: 1}
    return counts.get(device.type, cores)()


def make_exact() -> None:
    """Makes CUDA choose deterministic convolutions, and compute fp32 without TF32.

    A resumed run then has the same bits as one that was not stopped.
    """
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = False


def free_memory(device: torch.device) -> float:
    """Bytes that this process can still allocate, on the GPU or within the limits of the machine.

    Infinite if that is unknown.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if device.type == "mps":  # shared with the host
        return float(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    found = [math.inf]
    with suppress(OSError, ValueError, IndexError):
        found.append(1024 * _kilobytes("/proc/meminfo", "MemAvailable"))
    with suppress(OSError, ValueError, IndexError):  # ulimit -v
        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        taken = 1024 * _kilobytes("/proc/self/status", "VmSize")
        found.append(math.inf if limit == resource.RLIM_INFINITY else limit - taken)
    with suppress(OSError, ValueError, IndexError):  # a container's limit
        folder = Path("/sys/fs/cgroup")
        statistics = (folder / "memory.stat").read_text()
        # the kernel frees this part of the cache when memory is short
        cache = int(re.findall(r"^inactive_file (\d+)", statistics, re.MULTILINE)[0])
        limit, used = (int((folder / f"memory.{name}").read_text()) for name in ("max", "current"))
        found.append(limit - used + cache)
    return max(0.0, min(found))


def _kilobytes(path: str, name: str) -> int:
    """A value of a file in /proc. Raises OSError, IndexError."""
    return int(re.findall(rf"{name}:\s+(\d+) kB", Path(path).read_text())[0])


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that no memory is left, on the GPU or the CPU."""
    words = ("DefaultCPUAllocator: ", "MPS backend out of memory")
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(
        one in str(error) for one in words
    )


def keep_memory() -> None:
    """Makes glibc keep freed memory instead of returning it to Linux.

    Linux would have to clear every page again at each step. Large blocks then come from the heap,
    too, where the next step reuses them.
    """
    with suppress(AttributeError, OSError, TypeError):  # musl, a Mac
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, -1)


def choose_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """The dtype that convolutions multiply in; weights, BN statistics and the loss are float32."""
    if precision is not Precision.auto:
        return DTYPES[precision]
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    elif device.type == "mps":
        fast = False  # whether it is faster there was not measured
    else:
        cpu = torch.cpu.get_capabilities()
        fast = bool(cpu.get("amx_bf16") or cpu.get("avx512_bf16") or cpu.get("bf16"))
    return torch.bfloat16 if fast else torch.float32


def is_emulated(dtype: torch.dtype, device: torch.device) -> bool:
    """Whether this CPU leaves convolutions in `dtype` to PyTorch's own loops, as oneDNN has none
    for its instructions: they unfold every map, and ResNet-20 trained 13 times slower than in fp32.
    """
    if device.type != "cpu" or dtype is torch.float32:
        return False
    if not torch.backends.mkldnn.is_available():
        return True
    bf16 = dtype is torch.bfloat16
    supported = "_is_mkldnn_bf16_supported" if bf16 else "_is_mkldnn_fp16_supported"
    return not getattr(torch.ops.mkldnn, supported)()


def warn_if_emulated(
    dtype: torch.dtype, device: torch.device, *, warn: Callable[[str], None]
) -> None:
    """Tells whom a precision, chosen by name, costs more than it saves."""
    if is_emulated(dtype, device):
        warn(
            f"precision={precision_name(dtype)}: this processor has no instructions for it; "
            "fp32 is many times faster here and takes less memory"
        )


def precision_name(dtype: torch.dtype) -> str:
    """`fp32`, `bf16` or `fp16`."""
    return next(str(name) for name, value in DTYPES.items() if value is dtype)


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """A context for mixed precision; for float32 it does nothing."""
    return torch.autocast(device.type, dtype=dtype, enabled=dtype is not torch.float32)


def describe(device: torch.device) -> str:
    """Describes a device: `Intel Xeon, 2 threads`, `NVIDIA H200`."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return f"Apple GPU ({platform.machine()})"
    name = (
        torch.cpu.get_capabilities().get("cpu_name") or platform.processor() or platform.machine()
    )
    threads = torch.get_num_threads()
    return f"{name}, {threads} thread{'s' * (threads != 1)}"

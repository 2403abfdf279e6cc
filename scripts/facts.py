"""What a contestant of benchmark.py tells of itself when its turns are over."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile


def facts(step: Callable[[], None]) -> dict[str, Any]:
    """The most memory this process held (GiB; of the GPU, where there is one), and what one step
    launches.

    On a GPU what the host launches is counted, kernels and graphs; on a CPU operators that call no
    other, a compiled loop being one.
    """
    cuda = torch.cuda.is_available()
    if cuda:
        memory = torch.cuda.max_memory_reserved() / 2**30
    else:
        memory = (
            int(re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[0]) / 2**20
        )
    with profile(
        activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    ) as seen:
        step()
        if cuda:
            torch.cuda.synchronize()
    events = seen.events()
    assert events is not None
    launches = sum("LaunchKernel" in event.name or "GraphLaunch" in event.name for event in events)
    operators = sum(not event.cpu_children for event in events)
    return {"peak_gib": memory, "launches": launches if cuda else operators}

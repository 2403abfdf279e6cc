"""A contestant's side of the benchmark: it steps when told to, and describes itself at the end.

Knows nothing of resnet_cli, so that contestants that do not use it are not changed by it.
"""

import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile


def serve(
    step: Callable[[int], None],
    *,
    images: int,
    untimed: int = 0,
    settle: Callable[[], object] = lambda: None,
    facts: Callable[[], dict[str, Any]] = dict,
) -> None:
    """For every number on stdin, runs that many steps of `images` images and prints their seconds.

    The first `untimed` steps of a turn are not timed: while the others had their turns, the
    workers of a loader have prefetched batches. `settle` waits until all work is done. An empty
    line asks for the `facts` and ends the process.
    """
    done = 0
    for line in sys.stdin:
        if not line.strip():
            print(json.dumps(facts()), flush=True)
            return
        steps = int(line)
        for number in range(done, done + untimed):
            step(number)
        settle()
        done += untimed
        began = time.perf_counter()
        for number in range(done, done + steps):
            step(number)
        done += steps
        settle()
        seconds = time.perf_counter() - began
        print(json.dumps({"seconds": seconds, "images": steps * images}), flush=True)


def facts(step: Callable[[], None]) -> dict[str, Any]:
    """`peak_gib`, the most memory this process held (GPU memory if there is a GPU), and `launches`.

    On a GPU `launches` counts what the host launches in one step: kernels and graphs. On a CPU it
    counts the operators that call no other operator; a compiled loop is one.
    """
    cuda = torch.cuda.is_available()
    if cuda:
        memory = torch.cuda.max_memory_reserved() / 2**30
    else:
        status = Path("/proc/self/status").read_text()
        memory = int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) / 2**20
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    with profile(activities=activities) as profiler:
        step()
        if cuda:
            torch.cuda.synchronize()
    events = profiler.events()
    assert events is not None
    launches = sum("LaunchKernel" in event.name or "GraphLaunch" in event.name for event in events)
    operators = sum(not event.cpu_children for event in events)
    return {"peak_gib": memory, "launches": launches if cuda else operators}

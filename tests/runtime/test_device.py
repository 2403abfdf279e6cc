"""What is asked of the machine."""

import platform
import subprocess
import sys

import pytest

from tests.helpers.processes import PATIENCE

FAULTS = """
import ctypes, resource, sys, torch
from resnet_cli.runtime.device import keep_memory
PR_SET_THP_DISABLE = 41  # else a huge page would count as one
ctypes.CDLL(None).prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0)
if sys.argv[1] == "kept":
    keep_memory()
def once():
    blocks = [torch.ones(size << 18) for size in (1, 4, 16, 48)]  # 1 to 48 MiB
for _ in range(5):
    once()  # the heap finds its shape
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    once()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc that is told")
def test_memory_that_is_kept_is_not_cleared_anew_at_every_step() -> None:
    """10 x 69 MiB are 176,640 pages of 4 KiB; kept, the same ones are written again.

    A block may still move once, when something small has come to lie in its place.
    """
    faults = {
        how: int(
            subprocess.run(
                [sys.executable, "-c", FAULTS, how],
                capture_output=True,
                text=True,
                check=True,
                timeout=PATIENCE,
            ).stdout
        )
        for how in ("kept", "returned")
    }
    assert faults["returned"] > 100_000
    assert faults["kept"] < faults["returned"] / 5, faults

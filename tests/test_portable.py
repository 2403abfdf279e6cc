"""The settings of `make test-portable` reach the libraries that compute."""

import os

import pytest
import torch
from torch.backends import mkldnn

pytestmark = pytest.mark.numerical


def test_threads() -> None:
    assert torch.get_num_threads() == int(os.environ["OMP_NUM_THREADS"])


@pytest.mark.skipif("ATEN_CPU_CAPABILITY" not in os.environ, reason="PyTorch takes what is there")
def test_pytorchs_own_kernels() -> None:
    assert torch.backends.cpu.get_cpu_capability().lower() == os.environ["ATEN_CPU_CAPABILITY"]


@pytest.mark.skipif(os.environ.get("ONEDNN_MAX_CPU_ISA") != "AVX2", reason="oneDNN takes all")
def test_onednns_kernels(capfd: pytest.CaptureFixture[str]) -> None:
    """It names the kernel that it has chosen: `jit:avx2`, `brgconv:avx512_core`."""
    with mkldnn.verbose(mkldnn.VERBOSE_ON):
        torch.nn.functional.conv2d(torch.zeros(2, 16, 8, 8), torch.zeros(16, 16, 3, 3))
    said = capfd.readouterr().out
    assert "convolution" in said and "avx512" not in said

"""What a batch takes: the estimate against a process that trains it, and what a user is told
when it is too much.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from resnet_cli.config.schema import RunConfig
from resnet_cli.models.networks import build_network
from resnet_cli.models.resnet import ResNet
from resnet_cli.models.zoo import NETWORKS
from resnet_cli.run.out_of_memory import need
from resnet_cli.runtime.choices import Precision
from resnet_cli.runtime.device import DTYPES, is_emulated, is_out_of_memory
from resnet_cli.runtime.distributed import Context
from resnet_cli.training.memory import advice, bytes_per_image, unfolded
from tests.helpers.commands import TINY, Command
from tests.helpers.numbers import assert_same
from tests.helpers.processes import PATIENCE

TRAIN = """
import json, sys, torch
from resnet_cli.runtime.distributed import Context
from resnet_cli.runtime.device import DTYPES, keep_memory, peak_memory
from resnet_cli.models.resnet import ResNet
from resnet_cli.models.zoo import NETWORKS
from resnet_cli.training.step import TrainStep, make_optimizer

keep_memory()
network = ResNet(NETWORKS[sys.argv[1]]).to(memory_format=torch.channels_last)
network.set_activation_checkpointing(sys.argv[4] == "on")
step = TrainStep(
    network,
    make_optimizer(network, lr=0.1, momentum=0.9, weight_decay=1e-4, nesterov=False),
    dtype=DTYPES[sys.argv[3]],
    compiled=False,
)
def train(count):
    for _ in range(2):
        images = torch.randn(count, 3, 32, 32).contiguous(memory_format=torch.channels_last)
        step(images, torch.arange(count) % 10, lr=0.001)
    step.read_totals()
train(2)
before = peak_memory()
train(int(sys.argv[2]))
print(json.dumps((peak_memory() - before) * 2**30))
"""


@pytest.mark.parametrize(
    ("name", "count", "precision", "checkpointing"),
    [
        ("resnet20", 256, "fp32", "off"),
        ("resnet20", 256, "bf16", "off"),  # which not every processor has, fp16 hardly one
        pytest.param("resnet20", 256, "fp16", "off", marks=pytest.mark.slow),
        pytest.param("resnet56", 64, "bf16", "off", marks=pytest.mark.slow),
        pytest.param("resnet56", 256, "fp32", "on", marks=pytest.mark.slow),
    ],
)
def test_the_estimate_is_what_a_training_process_takes(
    name: str, count: int, precision: str, checkpointing: str
) -> None:
    process = subprocess.run(
        [sys.executable, "-c", TRAIN, name, str(count), precision, checkpointing],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert process.returncode == 0, process.stderr
    taken = json.loads(process.stdout)
    network = ResNet(NETWORKS[name])
    network.set_activation_checkpointing(checkpointing == "on")
    dtype = DTYPES[Precision(precision)]
    expected = count * bytes_per_image(network, image_size=32, dtype=dtype)
    if is_emulated(dtype, torch.device("cpu")):  # from no holes to nearly all, run by run
        assert taken / 1.75 < expected < 3 * taken
    else:  # 1.2 to 1.4 times what a process takes that finds holes to fill
        assert 0.65 * taken < expected < 1.6 * taken


@pytest.mark.parametrize("name", ["resnet20", "resnet18", "resnet50"])
def test_what_convolutions_unfold_is_what_im2col_makes(name: str) -> None:
    """Against PyTorch's own unfold of every map that a convolution reads."""
    network, numbers = build_network(NETWORKS[name]).eval(), []

    def unfold(layer: nn.Module, read: tuple[Tensor], _: Tensor) -> None:
        assert isinstance(layer, nn.Conv2d)
        size, stride, padding = layer.kernel_size, layer.stride, layer.padding
        assert isinstance(padding, tuple)
        if size != (1, 1):
            made = nn.functional.unfold(read[0], size, padding=padding, stride=stride)
            numbers.append(made.numel())

    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(unfold)
    with torch.no_grad():
        network(torch.zeros(1, 3, 64, 64))
    assert unfolded(network.architecture, image_size=64) == sum(numbers)


def test_a_precision_without_instructions_is_told(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And needs more memory than the instructions would; a GPU, and fp32, never do."""
    words = [*TINY, "batch_size=4", "dataset.test_images=10", "precision=bf16"]
    words += [f"runs={tmp_path}", "dry_run=true"]
    network, needed, told = ResNet(NETWORKS["resnet20"]), [], []
    for has in (False, True):
        monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda has=has: has)
        planned = command("resnet-train", *words)
        assert planned.code == 0, planned.err
        told.append("precision=bf16: this processor has no instructions for it" in planned.err)
        needed.append(bytes_per_image(network, image_size=32, dtype=torch.bfloat16))
    assert told == [True, False]
    assert needed[0] > needed[1]
    assert not is_emulated(torch.bfloat16, torch.device("cuda"))
    assert not is_emulated(torch.float32, torch.device("cpu"))


def test_what_would_fit() -> None:
    """A hundred images of a byte each where room is for fifty, of which a tenth is spare."""
    assert (
        advice(100, per_image=1, room=50, activation_checkpointing=True)
        == "batch_size=32 would fit"
    )
    assert (
        advice(100, per_image=1, room=50, activation_checkpointing=False)
        == "batch_size=32 would fit; activation_checkpointing=true needs less"
    )
    assert (
        advice(100, per_image=1, room=50, activation_checkpointing=True, unit=12)
        == "batch_size=24 would fit"
    )
    assert (
        advice(100, per_image=1, room=50, activation_checkpointing=True, devices=3)
        == "batch_size=96 would fit"
    )
    # the estimate was too low: 64 did not
    assert (
        advice(64, per_image=1, room=64, activation_checkpointing=True) == "batch_size=32 would fit"
    )
    assert advice(100, per_image=60, room=50, activation_checkpointing=True) == "no batch would fit"


def test_counting_leaves_the_network_as_it_was() -> None:
    network = ResNet(NETWORKS["resnet20"])
    before = {name: value.clone() for name, value in network.state_dict().items()}
    bytes_per_image(network, image_size=32, dtype=torch.float32)
    assert_same(network.state_dict(), before)
    assert all(weight.grad is None for weight in network.parameters())


def test_what_says_that_memory_is_out() -> None:
    with pytest.raises(RuntimeError) as error:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert is_out_of_memory(error.value)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(
        RuntimeError("CUDA error: an illegal memory access was encountered")
    )


# Address space for 400 MiB more than what is there once all is loaded.
LIMITED = """
import resource, sys
import torch
from resnet_cli import train
from resnet_cli.launch import start
from resnet_cli.runtime.errors import run_command
torch.nn.functional.conv2d(torch.zeros(2, 3, 32, 32), torch.zeros(16, 3, 3, 3))
(size,) = [line for line in open("/proc/self/status") if line.startswith("VmSize")]
taken = 1024 * int(size.split()[1])
resource.setrlimit(resource.RLIMIT_AS, (taken + (400 << 20), resource.RLIM_INFINITY))
sys.argv = ["resnet-train", *sys.argv[1:]]
sys.exit(run_command("resnet-train", lambda: train.main_checked(sys.argv[1:])))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits address space as Linux does")
def test_a_batch_that_is_too_large_is_one_line_and_the_one_it_names_fits(tmp_path: object) -> None:
    def start(batch: int) -> subprocess.CompletedProcess[str]:
        words = [
            "model=resnet20",
            "dataset=synthetic",
            "dataset.test_images=100",
            "schedule.iterations=2",
            "precision=fp32",
            "device=cpu",
        ]
        words += [f"batch_size={batch}", f"runs={tmp_path}/{batch}"]
        return subprocess.run(
            [sys.executable, "-c", LIMITED, *words],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )

    refused = start(1024)
    assert refused.returncode == 1, refused.stderr
    warning, line = refused.stderr.strip().splitlines()
    assert re.search(
        r"batch_size=1024 takes about [\d.]+ GiB, and 0\.\d GiB are free: batch_size=\d+ would fit",
        warning,
    )
    fits = re.search(
        r"out of memory with batch_size=1024: batch_size=(\d+) would fit; "
        r"activation_checkpointing=true "
        r"needs less",
        line,
    )
    assert fits, line
    assert 16 <= int(fits[1]) <= 512
    assert start(int(fits[1])).returncode == 0


def test_several_devices_are_told_what_each_of_them_can_take() -> None:
    """BN over a device's share of the batch, which is what several devices do, must not keep
    the batch as large as it is.
    """
    config = RunConfig(batch_size=256, bn_batch=128, devices=2)
    parts = SimpleNamespace(
        dataset=SimpleNamespace(image_size=32),
        training=SimpleNamespace(
            network=ResNet(NETWORKS["resnet20"]), step=SimpleNamespace(dtype=torch.float32)
        ),
    )
    wanted, _ = need(config, parts, context=Context(rank=0, world=2), room=1)  # type: ignore[arg-type]
    _, instead = need(config, parts, context=Context(rank=0, world=2), room=0.7 * wanted)  # type: ignore[arg-type]
    assert instead == "batch_size=128 would fit; activation_checkpointing=true needs less"

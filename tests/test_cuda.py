"""What a GPU must keep of what is held on a CPU: the same bits after a stop, alone or packed, with
any mixture of precision, compiler and captured graph.

The tests marked `slow` rehearse the same commands on a CPU.
"""

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from torch.nn.functional import cross_entropy

from resnet_cli.models.resnet import ResNet
from resnet_cli.models.zoo import NETWORKS
from resnet_cli.runtime.compile import missing_for_compiling
from resnet_cli.training.casting import CastOnce
from tests.data.trees import write_folders
from tests.helpers.commands import TINY, Command, last_line
from tests.helpers.numbers import assert_same
from tests.helpers.runs import ended, folder_of, kill_at

SMALL = [word for word in TINY if word != "device=cpu"]
needs_cuda = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
needs_compiler = pytest.mark.skipif(
    missing_for_compiling() is not None,
    reason="PyTorch's compiler needs g++ or clang++ and Python.h",
)
on_both = pytest.mark.parametrize(
    "device", [pytest.param("cpu", marks=pytest.mark.slow), pytest.param("cuda", marks=needs_cuda)]
)
CASES: dict[str, Sequence[str]] = {
    "bf16, captured": ["precision=bf16", "cuda_graph=on"],
    "fp32, captured": ["precision=fp32", "cuda_graph=on"],
    "fp16": ["precision=fp16"],
    "modern, captured": ["experiment=modern", "cuda_graph=on"],
    "modern, compiled, captured": ["experiment=modern", "compile=on", "cuda_graph=on"],
    "checkpointing, captured": ["activation_checkpointing=true", "cuda_graph=on"],
    "fused blocks, bf16, captured": ["fused_blocks=true", "precision=bf16", "cuda_graph=on"],
    "fused blocks, fp32, captured": ["fused_blocks=true", "precision=fp32", "cuda_graph=on"],
    "compiled": ["compile=on", "cuda_graph=off"],
    "compiled, captured": ["compile=on", "cuda_graph=on"],
}


def words_for(device: str, words: Sequence[str]) -> list[str]:
    """As they are on a GPU; a CPU has neither graphs to capture nor fused blocks."""
    on_gpus = ("cuda_graph", "fused_blocks")
    return [
        f"device={device}",
        *(w for w in words if device == "cuda" or not w.startswith(on_gpus)),
    ]


@on_both
@pytest.mark.parametrize(
    "case",
    [pytest.param(one, marks=needs_compiler if "compiled" in one else []) for one in CASES],
)
def test_a_stopped_run_ends_as_one_left_alone(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, case: str
) -> None:
    words = [*SMALL, *words_for(device, CASES[case])]
    assert command("resnet-train", *words, f"runs={tmp_path / 'alone'}").code == 0
    with monkeypatch.context() as patched:
        kill_at(patched, 9)
        stopped = command("resnet-train", *words, f"runs={tmp_path / 'stopped'}")
    assert stopped.code == 130, stopped.err
    resumed = command("resnet-train", *words, f"runs={tmp_path / 'stopped'}")
    assert resumed.code == 0 and "resuming at iteration 9" in resumed.out
    assert_same(ended(tmp_path / "stopped"), ended(tmp_path / "alone"))


@on_both
def test_photographs_are_trained_on_and_tested(
    command: Command, tmp_path: Path, device: str
) -> None:
    root = write_folders(tmp_path / "images")
    words = ["model=resnet18", "dataset=imagenet", f"dataset.root={root}", "dataset.image_size=32"]
    words += ["batch_size=4", "schedule.iterations=6", "log_every=2", "eval_every=3"]
    words += [f"runs={tmp_path / 'runs'}", *words_for(device, ["precision=bf16", "cuda_graph=on"])]
    trained = command("resnet-train", *words)
    assert trained.code == 0, trained.err
    checkpoint = folder_of(tmp_path / "runs")
    for views in ("single", "ten", "dense"):
        more = ["--scales", "32", "48"] if views == "dense" else []
        tested = command(
            "resnet-eval", "--ckpt", checkpoint, "--views", views, *more, f"device={device}",
            f"dataset.root={root}",
        )  # fmt: skip
        assert 0 <= last_line(tested)["top1_error"] <= 100


@on_both
@needs_compiler
def test_folded_testing_measures_what_the_layers_as_they_are_do(
    command: Command, tmp_path: Path, device: str
) -> None:
    """Captured on a GPU: the same number of wrong images as batch by batch without a graph."""
    words = [*SMALL, f"device={device}", f"runs={tmp_path}", "schedule.iterations=60"]
    assert command("resnet-train", *words).code == 0
    errors = [
        last_line(command("resnet-eval", "--ckpt", folder_of(tmp_path), *words_for(device, more)))
        for more in (["cuda_graph=off", "compile=off"], ["cuda_graph=on"], ["compile=on"])
    ]
    assert errors[1]["top1_error"] == errors[0]["top1_error"]
    assert errors[2]["top1_error"] == pytest.approx(errors[0]["top1_error"], abs=2)


@on_both
def test_a_packed_mixture_of_networks_is_each_alone(
    command: Command, tmp_path: Path, device: str
) -> None:
    words = [word for word in SMALL if not word.startswith("model")]
    words += [f"device={device}", "model=plain20,resnet20,resnet32", "eval_every=8"]
    assert command("resnet-train", "-m", *words, f"runs={tmp_path / 'alone'}").code == 0
    packed = [*words, "hydra/launcher=local", "jobs_per_device=3", f"runs={tmp_path / 'packed'}"]
    assert command("resnet-train", "-m", *packed).code == 0
    found = sorted((tmp_path / "alone").rglob("result.json"))
    assert len(found) == 3
    for alone in found:
        other = tmp_path / "packed" / alone.parent.relative_to(tmp_path / "alone")
        assert_same(ended(other), ended(alone.parent))


@pytest.mark.parametrize("name", ["plain20", "resnet20"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("device", [pytest.param("cuda", marks=needs_cuda)])
def test_fused_blocks_round_no_worse_than_the_ordinary_step(
    device: str, dtype: torch.dtype, name: str
) -> None:
    """Logits, gradients and running averages, measured from float64: within twice the error of
    PyTorch's own kernels, tensor by tensor, or a hundredth of the tensor's norm where ReLUs flip.
    """
    from resnet_cli.models.fused.trunk import FusedResNet

    network = ResNet(NETWORKS[name]).to(memory_format=torch.channels_last)
    images, labels = torch.randn(37, 3, 32, 32), torch.arange(37) % 10
    ordinary, exact = deepcopy(network), deepcopy(network).double()
    found = []
    for one, through in ((exact, exact), (ordinary, ordinary), (network, FusedResNet(network))):
        one.to(device)
        exactly, half = one is exact, dtype is not torch.float32 and one is not exact
        computed = CastOnce(through, dtype) if half else through
        with torch.autocast(device, dtype, enabled=half):
            logits = computed(images.to(device, torch.float64 if exactly else torch.float32))
        cross_entropy(logits if exactly else logits.float(), labels.to(device)).backward()
        values = {"logits": logits.detach()}
        values |= {key: one.grad for key, one in one.named_parameters() if one.grad is not None}
        values |= {key: buffer for key, buffer in one.named_buffers() if "running" in key}
        found.append({key: value.double() for key, value in values.items()})
    for key, value in found[0].items():
        theirs, ours = ((one[key] - value).norm() / value.norm() for one in found[1:])
        assert ours <= max(2 * theirs, 1e-2 if dtype is not torch.float32 else 1e-5), key

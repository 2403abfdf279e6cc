"""What a GPU must keep of what is held on a CPU: the same bits after a stop, alone or packed, with
any mixture of precision, compiler and captured graph.

The tests marked `slow` rehearse the same commands on a CPU.
"""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from resnet_cli.runtime.compile import missing_for_compiling
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
    "compiled": ["compile=on", "cuda_graph=off"],
    "compiled, captured": ["compile=on", "cuda_graph=on"],
}


def words_for(device: str, words: Sequence[str]) -> list[str]:
    """As they are on a GPU; a CPU has no graphs to capture."""
    return [f"device={device}", *(w for w in words if device == "cuda" or "cuda_graph" not in w)]


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

"""Stopped anywhere and started again, a run ends bit for bit as one left alone."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch._dynamo.utils import counters

from resnet_cli.runtime.compile import missing_for_compiling
from resnet_cli.training import checkpoint
from tests.helpers.commands import TINY, Command, Outcome, check_refused
from tests.helpers.numbers import assert_same
from tests.helpers.processes import finish, spawn, wait_for
from tests.helpers.runs import ended, folder_of, kill_at, saved_values


# mid-window, mid-epoch, at both milestones, before the end
@pytest.mark.parametrize("at", [5, 9, 12, 18, 23])
def test_ctrl_c_saves_and_the_same_command_goes_on(
    command: Command, runs: Path, undisturbed: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    with monkeypatch.context() as patched:
        kill_at(patched, at)
        stopped = command("resnet-train", *TINY, f"runs={runs}")
    assert stopped.code == 128 + signal.SIGINT
    assert f"stopped at iteration {at} of 24; the same command continues" in stopped.err
    assert not (folder_of(runs) / "result.json").exists()
    resumed = command("resnet-train", *TINY, f"runs={runs}")
    assert resumed.code == 0
    assert f"resuming at iteration {at}" in resumed.out
    assert_same(ended(runs), ended(undisturbed))


def test_a_stopped_sweep_goes_on(
    command: Command, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = ["-m", *TINY, "seed=0,1", f"runs={runs}"]
    with monkeypatch.context() as patched:
        kill_at(patched, 10)
        stopped = command("resnet-train", *sweep)
    assert stopped.code == 130
    assert "the sweep stops at run 1 of 2" in stopped.err
    assert len(list(runs.rglob("config.yaml"))) == 1  # the second has not begun
    assert command("resnet-train", *sweep).code == 0
    assert len(list(runs.rglob("result.json"))) == 2


def test_sigterm_is_143(command: Command, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kill_at(monkeypatch, 3, signal.SIGTERM)
    assert command("resnet-train", *TINY, f"runs={runs}").code == 128 + signal.SIGTERM


def test_a_warmup_survives_a_stop(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped within the first window of 100 iterations: the warm-up ends where it would have."""
    longer = [
        *TINY,
        "schedule.iterations=130",
        "batch_size=16",
        "schedule.warmup_lr=0.02",
        "schedule.warmup_until_error=99",
    ]
    assert command("resnet-train", *longer, f"runs={tmp_path / 'whole'}").code == 0
    with monkeypatch.context() as patched:
        kill_at(patched, 61)
        assert command("resnet-train", *longer, f"runs={tmp_path / 'cut'}").code == 130
    assert command("resnet-train", *longer, f"runs={tmp_path / 'cut'}").code == 0
    assert_same(ended(tmp_path / "cut"), ended(tmp_path / "whole"))
    result = json.loads((folder_of(tmp_path / "cut") / "result.json").read_text())
    assert result["warmup_ended_at"] == 100
    rates = {line["iteration"]: line["lr"] for line in ended(tmp_path / "cut")[1] if "lr" in line}
    # milestones at 65 and 98
    assert (rates[100], rates[104], rates[128]) == (
        0.02,
        pytest.approx(0.001),
        pytest.approx(0.001),
    )


@pytest.mark.slow
def test_sigkill_during_a_save(runs: Path, undisturbed: Path, tmp_path: Path) -> None:
    """The process dies with half a checkpoint written, twice; what was whole before still
    counts.
    """
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\n"
        "saves = int(os.environ['KILL_AT_SAVE'])\n"
        "original = os.fsync\n"
        "def fsync(fd):\n"
        "    global saves\n"
        "    path = os.readlink(f'/proc/self/fd/{fd}')\n"
        "    if path.endswith('last.pt.part'):\n"
        "        saves -= 1\n"
        "        if saves == 0:\n"
        "            os.ftruncate(fd, 1000)\n"
        "            os.kill(os.getpid(), 9)\n"
        "    original(fd)\n"
        "os.fsync = fsync\n"
    )
    for save in (2, 1):  # at iteration 16, then, resumed from 8, at 16 again
        process = spawn(
            *TINY, f"runs={runs}", env={"PYTHONPATH": str(tmp_path), "KILL_AT_SAVE": str(save)}
        )
        assert finish(process)[0] == -signal.SIGKILL
        assert checkpoint.load(folder_of(runs) / "checkpoints/last.pt").progress.iteration == 8
    assert finish(spawn(*TINY, f"runs={runs}"))[0] == 0
    assert_same(ended(runs), ended(undisturbed))


def test_a_truncated_newest_checkpoint_costs_only_the_way_back(
    command: Command, runs: Path, undisturbed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        kill_at(patched, 20)
        command("resnet-train", *TINY, f"runs={runs}")
    last = folder_of(runs) / "checkpoints/last.pt"
    last.write_bytes(last.read_bytes()[:5000])
    resumed = command("resnet-train", *TINY, f"runs={runs}")
    assert resumed.code == 0
    assert "falling back to previous.pt, iteration 16" in resumed.err
    assert_same(ended(runs), ended(undisturbed))


def shrink_momentum(path: Path) -> None:
    """Fused SGD would write past the end of this buffer."""
    content = saved_values(path)
    content["momentum"][0]["momentum_buffer"] = torch.zeros(1)
    torch.save(content, path)


def test_a_newest_checkpoint_that_does_not_fit_costs_only_the_way_back(
    command: Command, runs: Path, undisturbed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        kill_at(patched, 20)
        command("resnet-train", *TINY, f"runs={runs}")
    shrink_momentum(folder_of(runs) / "checkpoints/last.pt")
    resumed = command("resnet-train", *TINY, f"runs={runs}")
    assert resumed.code == 0
    assert "the momentum of 'conv1.weight' is [1] of torch.float32" in resumed.err
    assert "falling back to previous.pt, iteration 16" in resumed.err
    assert_same(ended(runs), ended(undisturbed))


def test_a_given_checkpoint_that_does_not_fit_is_refused_before_anything_is_written(
    command: Command, runs: Path, undisturbed: Path, tmp_path: Path
) -> None:
    path = tmp_path / "x.pt"
    path.write_bytes((folder_of(undisturbed) / "checkpoints/previous.pt").read_bytes())
    shrink_momentum(path)
    refused = command("resnet-train", *TINY, f"runs={runs}", f"resume={path}")
    check_refused(refused, 2, "the momentum of 'conv1.weight' is [1]", str(path))
    content = saved_values(folder_of(undisturbed) / "checkpoints/last.pt")
    torch.save(content | {"progress": content["progress"] | {"last": {}}}, path)
    refused = command("resnet-train", *TINY, f"runs={runs}", f"resume={path}")
    check_refused(refused, 2, "at the end of its schedule and lacks test/error", str(path))
    assert not runs.exists()


def test_nothing_is_left_to_train_at_the_end_of_another_recipe(
    command: Command, runs: Path, undisturbed: Path
) -> None:
    source = folder_of(undisturbed) / "checkpoints/last.pt"
    words = ["optimizer.weight_decay=0.001", f"runs={runs}", f"resume={source}"]
    check_refused(command("resnet-train", *TINY, *words), 2, "nothing is left to train")
    assert not runs.exists()


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_loses_nothing(
    command: Command, runs: Path, undisturbed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel refuses files over 100 kB, as a full disk would: checkpoints are larger.

    The one from before stands.
    """
    with monkeypatch.context() as patched:
        kill_at(patched, 9)
        assert command("resnet-train", *TINY, f"runs={runs}").code == 130
    small = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))"
    start = f"{small}; import sys; from resnet_cli.train import main; sys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", start, *TINY, f"runs={runs}"], stderr=subprocess.PIPE, text=True
    )
    code, _, err = finish(process)
    assert code == 1, err
    assert "cannot save" in err
    assert "File too large; what was saved before stands" in err
    assert err.count("\n") == 1
    assert checkpoint.load(folder_of(runs) / "checkpoints/last.pt").progress.iteration == 9
    assert finish(spawn(*TINY, f"runs={runs}"))[0] == 0
    assert_same(ended(runs), ended(undisturbed))


def test_a_finished_run_is_skipped(command: Command, undisturbed: Path) -> None:
    before = (folder_of(undisturbed) / "result.json").stat().st_mtime_ns
    again = command("resnet-train", *TINY, f"runs={undisturbed}")
    assert again.code == 0
    assert "is finished: test error" in again.out
    assert (folder_of(undisturbed) / "result.json").stat().st_mtime_ns == before


def test_never_does_not_touch_a_run(command: Command, undisturbed: Path) -> None:
    refused = command("resnet-train", *TINY, f"runs={undisturbed}", "resume=never")
    assert refused.code == 2
    assert "already holds this run" in refused.err


def test_from_another_runs_checkpoint(command: Command, runs: Path, undisturbed: Path) -> None:
    """resume=PATH goes on from a file: from iteration 16 of the other run to the same end."""
    source = folder_of(undisturbed) / "checkpoints/previous.pt"
    assert command("resnet-train", *TINY, f"runs={runs}", f"resume={source}").code == 0
    assert_same(ended(runs)[0], ended(undisturbed)[0])


@pytest.mark.parametrize("name", ["best.pt", "last.pt"])
def test_from_a_checkpoint_of_the_last_iteration(
    command: Command, tmp_path: Path, name: str
) -> None:
    """Nothing is left to train, and the result says what that checkpoint's own run said."""
    words = [word for word in TINY if not word.startswith("log_every")] + [
        "log_every=1000",
        "eval_every=24",
    ]
    assert command("resnet-train", *words, f"runs={tmp_path / 'a'}").code == 0
    source = folder_of(tmp_path / "a") / "checkpoints" / name
    assert command("resnet-train", *words, f"runs={tmp_path / 'b'}", f"resume={source}").code == 0
    one, other = (
        json.loads((folder_of(tmp_path / run) / "result.json").read_text()) for run in "ab"
    )
    assert one["final"] == other["final"]
    assert one["best"] == other["best"]


def test_from_another_recipe_is_said(command: Command, runs: Path, undisturbed: Path) -> None:
    source = folder_of(undisturbed) / "checkpoints/previous.pt"
    words = ["optimizer.weight_decay=0.001", f"runs={runs}", f"resume={source}"]
    resumed = command("resnet-train", *TINY, *words)
    check_refused(
        Outcome(2, resumed.out, resumed.err),
        2,
        "trained with another config (optimizer.weight_decay: 0.0001 -> 0.001)",
    )
    assert json.loads((folder_of(runs) / "result.json").read_text())["best"]["iteration"] == 24


def test_a_signal_during_the_last_evaluation_ends_a_sweep(
    command: Command, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        kill_at(patched, 24)
        stopped = command("resnet-train", "-m", *TINY, "seed=0,1", f"runs={runs}")
    assert stopped.code == 130
    assert "this run is finished" in stopped.err
    assert len(list(runs.rglob("result.json"))) == len(list(runs.rglob("config.yaml"))) == 1


def test_tensorboard_has_no_point_twice(
    command: Command, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before its first checkpoint, then stopped at 10, then finished."""
    killed = spawn(
        *TINY,
        "checkpoint_every=1000",
        "eval_every=6",
        "compile=off",
        f"runs={runs}",
        "schedule.iterations=20000",
        "log_every=2",
    )
    wait_for(lambda: list(runs.rglob("metrics.jsonl")))
    killed.kill()
    killed.communicate()
    (folder,) = (path.parent for path in runs.rglob("config.yaml"))
    words = [*TINY, "schedule.iterations=20000", "log_every=2", "compile=off", f"runs={runs}"]
    for at in (10, 20):
        with monkeypatch.context() as patched:
            kill_at(patched, at)
            assert command("resnet-train", *words).code == 130
    board = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    board.Reload()
    logged = [
        line["iteration"]
        for line in map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    ]
    assert [event.step for event in board.Scalars("train/error")] == logged == list(range(2, 21, 2))


@pytest.mark.skipif(
    missing_for_compiling() is not None,
    reason="PyTorch's compiler needs g++ or clang++ and Python.h",
)
def test_a_compiled_run_resumes_bit_for_bit(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [*TINY, "compile=on"]
    whole = command("resnet-train", *words, f"runs={tmp_path / 'whole'}")
    assert whole.code == 0, whole.err
    assert "compiled: yes" in whole.out
    with monkeypatch.context() as patched:
        kill_at(patched, 11)
        assert command("resnet-train", *words, f"runs={tmp_path / 'cut'}").code == 130
    assert command("resnet-train", *words, f"runs={tmp_path / 'cut'}").code == 0
    assert_same(ended(tmp_path / "cut"), ended(tmp_path / "whole"))


@pytest.mark.slow
@pytest.mark.skipif(
    missing_for_compiling() is not None,
    reason="PyTorch's compiler needs g++ or clang++ and Python.h",
)
def test_a_sweep_compiles_once(
    command: Command, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second run finds on disk what the first has compiled."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    counters["inductor"].clear()
    assert command("resnet-train", "-m", *TINY, "compile=on", "seed=0", f"runs={runs}").code == 0
    first = dict(counters["inductor"])
    assert first["fxgraph_cache_miss"] > 0
    assert command("resnet-train", "-m", *TINY, "compile=on", "seed=0,1", f"runs={runs}").code == 0
    assert counters["inductor"]["fxgraph_cache_miss"] == first["fxgraph_cache_miss"]
    assert counters["inductor"]["fxgraph_cache_hit"] > first.get("fxgraph_cache_hit", 0)


@pytest.mark.numerical
def test_checkpointing_can_be_turned_on_halfway(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Out of memory is mended so: the same run, the same numbers."""
    words = [*TINY, "precision=fp32"]
    whole = command("resnet-train", *words, f"runs={tmp_path / 'whole'}")
    assert whole.code == 0, whole.err
    with monkeypatch.context() as patched:
        kill_at(patched, 11)
        assert command("resnet-train", *words, f"runs={tmp_path / 'cut'}").code == 130
    again = command(
        "resnet-train", *words, "activation_checkpointing=true", f"runs={tmp_path / 'cut'}"
    )
    assert again.code == 0, again.err
    assert_same(ended(tmp_path / "cut"), ended(tmp_path / "whole"))
    refused = command(
        "resnet-train",
        *TINY,
        "activation_checkpointing=true",
        "compile=on",
        f"runs={tmp_path / 'other'}",
    )
    check_refused(refused, 2, "compile=on and activation_checkpointing=true do not go together")


def test_another_processors_number_format_is_told_and_kept_apart(
    command: Command, tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """precision=auto is bf16 on one machine and fp32 on another: such a run is neither."""

    def train(seed: int, *, bf16: bool, stop_at: int | None = None) -> Outcome:
        with monkeypatch.context() as patched:
            patched.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": bf16})
            if stop_at is not None:
                kill_at(patched, stop_at)
            words = [*TINY, "batch_size=8", f"seed={seed}", f"runs={runs}"]
            return command("resnet-train", *words, "dataset.test_images=40")

    assert train(0, bf16=True, stop_at=9).code == 130
    assert train(0, bf16=True, stop_at=11).err.count("goes on") == 0
    resumed = train(0, bf16=False)
    assert resumed.code == 0, resumed.err
    assert "trained in bf16 so far, and goes on in fp32" in resumed.err
    assert train(1, bf16=False).code == 0
    results = [json.loads(one.read_text()) for one in sorted(runs.rglob("result.json"))]
    assert [one["precision"] for one in results] == ["bf16+fp32", "fp32"]
    assert command("resnet-report", runs, "--out", tmp_path / "report").code == 0
    report = (tmp_path / "report/report.md").read_text()
    assert "| ResNet-8, bf16+fp32 | 24 | 0 |" in report
    assert "| ResNet-8, fp32 | 24 | 1 |" in report


def test_another_networks_checkpoint_is_refused(
    command: Command, runs: Path, undisturbed: Path
) -> None:
    source = folder_of(undisturbed) / "checkpoints/last.pt"
    wrong = command("resnet-train", *TINY, "model.depth=14", f"runs={runs}", f"resume={source}")
    check_refused(wrong, 2, "is not of resnet14-A", "layer1.1.conv1.weight")
    assert not runs.exists()


def test_a_folder_of_another_config_is_refused_with_the_difference(
    command: Command, undisturbed: Path
) -> None:
    path = folder_of(undisturbed) / "config.yaml"
    text = path.read_text()
    path.write_text(text.replace("weight_decay: 0.0001", "weight_decay: 0.0005"))
    try:
        refused = command("resnet-train", *TINY, f"runs={undisturbed}")
    finally:
        path.write_text(text)
    check_refused(refused, 2, "optimizer.weight_decay: 0.0005 -> 0.0001")


@pytest.mark.slow
def test_two_at_once_on_one_folder(command: Command, runs: Path) -> None:
    longer = [*TINY, "schedule.iterations=100000"]
    holder = spawn(*longer, f"runs={runs}")
    try:
        wait_for(lambda: list(runs.rglob("last.pt")))
        check_refused(
            command("resnet-train", *longer, f"runs={runs}"),
            2,
            f"is being trained by process {holder.pid}",
        )
    finally:
        holder.terminate()
        assert finish(holder)[0] == 128 + signal.SIGTERM

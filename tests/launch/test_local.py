"""hydra/launcher=local: the runs are bit for bit what they are one after another, whatever
happens in between.
"""

import os
import re
import signal
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml

from resnet_cli.config.plain import to_plain
from resnet_cli.launch import local
from resnet_cli.launch.display import LineDisplay
from resnet_cli.launch.local import Sweep, make_slots
from resnet_cli.launch.local_worker import RoundRobin
from resnet_cli.launch.worker_handle import Slot
from resnet_cli.run.run import Run, Steps, train_steps
from resnet_cli.runtime.console import Console
from resnet_cli.runtime.distributed import Context
from resnet_cli.runtime.errors import UserError
from resnet_cli.runtime.signals import StopRequest
from tests.helpers.commands import Command
from tests.helpers.processes import alive, finish, spawn, wait_for
from tests.launch.small_sweep import WORDS, assert_equal, planned

LOCAL = ["-m", *WORDS, "hydra/launcher=local", "jobs_per_device=2"]


def packed(runs: list[Run], each: int) -> Sweep:
    """All in one process, `each` at a time, as on a GPU."""
    slot = Slot(name="here", environment={"CUDA_VISIBLE_DEVICES": ""}, runs=each)
    return Sweep(runs, [slot], display=LineDisplay(runs))


def test_interleaved_runs_are_what_they_are_alone(runs: Path, alone: list[Run]) -> None:
    """In this process, a step each in turn."""
    some, turns = planned(runs), RoundRobin()
    for number, run in enumerate(some):
        turns.add(
            number,
            train_steps(run, context=Context(), console=Console(), stop=StopRequest()),
        )
    order: list[int] = []
    while turns.in_flight:
        order += [number for number, _ in turns.round()]
    assert order == [0, 1, 2, 3]  # all as long, so they end in one round
    assert_equal(some, alone)


class Device:
    """Does one of the steps in its queue when it is told to; counts as a GPU with its streams."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.streams: list[SimpleNamespace] = []
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "Stream", self.stream)
        monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())

    def stream(self) -> SimpleNamespace:
        stream = SimpleNamespace(given=0, done=0)

        def record_event() -> SimpleNamespace:
            stream.given += 1
            at = stream.given
            return SimpleNamespace(query=lambda: stream.done >= at)

        stream.record_event = record_event
        self.streams.append(stream)
        return stream

    def work(self, number: int) -> None:
        stream = self.streams[number]
        stream.done = min(stream.given, stream.done + 1)


def test_packed_runs_advance_at_their_own_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network whose steps take ten times as long does not hold up the one beside it."""
    device, turns = Device(monkeypatch), RoundRobin()

    def steps() -> Steps:
        yield from [None] * 1000
        raise AssertionError("no run ends here")

    for number in (0, 1):
        turns.add(number, steps())
    for tick in range(200):
        assert not list(turns.round())
        device.work(0)
        if tick % 10 == 0:
            device.work(1)
        waiting = [stream.given - stream.done for stream in device.streams]
        assert max(waiting) <= 4, waiting
    fast, slow = device.streams
    assert (fast.done, slow.done) == (200, 20)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_runs_packed_on_a_gpu_are_what_they_are_alone(command: Command, tmp_path: Path) -> None:
    words = [word for word in WORDS if word != "device=cpu"] + ["device=cuda"]
    assert command("resnet-train", "-m", *words, f"runs={tmp_path / 'alone'}").code == 0
    assert (
        command(
            "resnet-train",
            "-m",
            *words,
            "hydra/launcher=local",
            "jobs_per_device=3",
            f"runs={tmp_path / 'packed'}",
        ).code
        == 0
    )
    assert_equal(
        planned(tmp_path / "packed", "device=cuda"), planned(tmp_path / "alone", "device=cuda")
    )


@pytest.mark.slow
def test_killed_stopped_and_continued_it_ends_the_same(
    command: Command, runs: Path, faults: Path, alone: list[Run]
) -> None:
    """A worker killed, the sweep stopped while another worker is suspended, then the parent killed:
    the same command continues each time, and ends as if nothing had been.
    """
    (faults / "plain8@1").write_text("os.kill(os.getpid(), signal.SIGKILL)")
    (faults / "resnet8-A@2").write_text(
        "os.kill(os.getppid(), signal.SIGTERM); os.kill(os.getpid(), signal.SIGSTOP)"
    )
    first = command("resnet-train", *LOCAL, f"runs={runs}")
    assert first.code == 128 + signal.SIGTERM
    assert re.search(
        r"plain8/seed\d: its process, \d+, was killed by SIGKILL; the same command continues",
        first.err,
    )
    assert re.search(
        r"the sweep stops, \d of 4 runs had ended; the same command continues\n$", first.err
    )
    assert not list(faults.glob("*@*"))
    assert not any(run.folder.read_result() for run in planned(runs, "model=resnet20"))

    (faults / "plain8@1").write_text("os.kill(os.getppid(), signal.SIGKILL); time.sleep(1)")
    parent = spawn(*LOCAL, "jobs_per_device=1", f"runs={runs}")
    code, out, _ = finish(parent)
    assert code == -signal.SIGKILL
    children = [int(number) for number in re.findall(r"process (\d+)\)", out)]
    assert children
    wait_for(lambda: not any(map(alive, children)))

    last = command("resnet-train", *LOCAL, "jobs_per_device=1", f"runs={runs}")
    assert last.code == 0, last.err
    assert "4 runs: 1 worker process on the CPU, 1 thread each" in last.out
    assert last.out[last.out.rindex("4 runs in") :].count("test error") == 4
    assert "resuming at iteration" not in last.out  # what a run says is in its log.txt ...
    assert any("resuming at iteration" in run.folder.log.read_text() for run in planned(runs))
    assert sorted(path.name for path in runs.iterdir()) == ["synthetic"]
    assert_equal(planned(runs), alone)


def test_a_run_that_breaks_ends_alone(
    runs: Path, alone: list[Run], capfd: pytest.CaptureFixture[str]
) -> None:
    """Four in one process, three at a time: one is locked, one diverges, one belongs to another
    config; the fourth does not notice.
    """
    some = planned(runs)
    (diverging,) = planned(runs, "model=plain20", "seed=2", "optimizer.lr=1e30")
    mixed = [some[0], diverging, some[1], some[2]]
    some[1].folder.path.mkdir(parents=True)
    deeper = replace(some[1].config, model=replace(some[1].config.model, depth=14))
    some[1].folder.config_file.write_text(yaml.safe_dump(to_plain(deeper)))
    with some[2].folder.locked():
        outcomes = packed(mixed, 3).run()
    assert [outcome.code for outcome in outcomes] == [0, 4, 2, 2]
    assert "not finite" in outcomes[1].line
    assert "another config" in outcomes[2].line
    assert f"is being trained by process {os.getpid()}" in outcomes[3].line
    assert_equal(some[:1], alone[:1])
    shown = capfd.readouterr()
    assert shown.err.count("resnet-train: ") == 3  # each told at once, in a line


def test_a_signal_to_one_process_ends_its_runs_alone(runs: Path, faults: Path) -> None:
    """SIGTERM from elsewhere: both its runs save; it was not the sweep that was stopped, but it
    has failed.
    """
    (faults / "plain8@1").write_text("os.kill(os.getpid(), signal.SIGTERM)")
    outcomes = packed(planned(runs)[:2], 2).run()
    assert [outcome.code for outcome in outcomes] == [1, 1]
    assert "stopped at iteration 8 of 24; the same command continues" in outcomes[0].line


def test_slots(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half the cores by default, at least one process, never more than there are runs; threads
    share the cores out.
    """
    monkeypatch.delenv("OMP_NUM_THREADS")
    some = planned(runs)
    for cores, asked, wanted in (
        (2, None, (1, "2")),
        (8, None, (4, "2")),
        (16, None, (4, "4")),
        (2, 3, (3, "1")),
        (8, 2, (2, "4")),
    ):
        monkeypatch.setattr(local, "cores", lambda cores=cores: cores)
        found = make_slots(some, asked)
        assert (len(found), found[0].environment["OMP_NUM_THREADS"]) == wanted
        assert {slot.runs for slot in found} == {1}
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert make_slots(some, 2)[0].environment["OMP_NUM_THREADS"] == "3"


def test_slots_on_gpus(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process for each GPU that may be seen, each with so many runs at a time."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    some = planned(runs, "device=cuda")
    assert [
        (slot.environment["CUDA_VISIBLE_DEVICES"], slot.runs) for slot in make_slots(some, 4)
    ] == [("5", 4), ("7", 4)]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert [
        (slot.environment["CUDA_VISIBLE_DEVICES"], slot.runs) for slot in make_slots(some, None)
    ] == [("0", 1), ("1", 1)]
    photographs = planned(runs, "dataset=imagenet", "device=cuda")
    monkeypatch.setattr(local, "cores", lambda: 16)
    # 2 GPUs x 2 runs
    assert {
        run.config.dataset.workers
        for run in local.share_loaders(photographs, make_slots(photographs, 2))
    } == {4}
    with pytest.raises(UserError, match="same kind of device"):
        make_slots([*some, *planned(runs)], None)
    with pytest.raises(UserError, match="compile=on: runs that share a process cannot be compiled"):
        make_slots(planned(runs, "device=cuda", "compile=on"), 2)
    assert len(make_slots(planned(runs, "device=cuda", "compile=on"), 1)) == 2

"""hydra/launcher=local: the runs of a sweep side by side on this machine.

Each GPU, or share of the CPU, is a slot with a worker process.
"""

import dataclasses
import os
import time
from collections import deque
from collections.abc import Sequence

import torch

from resnet_cli.data.choices import DatasetName
from resnet_cli.launch.display import LineDisplay, make_display
from resnet_cli.launch.outcome import Outcome
from resnet_cli.launch.worker_handle import Slot, WorkerHandle
from resnet_cli.run.run import Run
from resnet_cli.runtime.choices import Switch
from resnet_cli.runtime.device import choose_device, cores
from resnet_cli.runtime.errors import FAILED, Stopped, UserError
from resnet_cli.runtime.signals import stop_on_signal

_POLL_SECONDS = 0.1


def sweep(runs: Sequence[Run], jobs_per_device: int | None) -> list[Outcome]:
    """Trains all runs.

    A signal stops the sweep; the runs save first. Raises UserError before anything has started, and
    Stopped after a signal.
    """
    slots = make_slots(runs, jobs_per_device)
    if slots[0].environment["CUDA_VISIBLE_DEVICES"]:
        runs = share_loaders(runs, slots)
    print(_plan(slots, runs=len(runs)), flush=True)
    with make_display(runs) as display:
        return Sweep(runs, slots, display=display).run()


def make_slots(runs: Sequence[Run], jobs_per_device: int | None) -> list[Slot]:
    """Where `runs` train, and how many at a time. Raises UserError where they do not fit.

    On GPUs one process each, which trains `jobs_per_device` (by default 1) runs in turns. On the
    CPU `jobs_per_device` (by default half as many as cores) processes, which share its cores unless
    OMP_NUM_THREADS says otherwise.
    """
    if several := [run for run in runs if run.config.devices != 1]:
        raise UserError(
            f"devices={several[0].config.devices}: hydra/launcher=local trains each run on "
            "one device; leave one of the two out"
        )
    kinds = {choose_device(run.config.device).type for run in runs}
    if len(kinds) > 1:
        raise UserError(
            "device: with hydra/launcher=local all runs of a sweep train on the same kind of device"
        )
    if kinds == {"cuda"}:
        slots = _gpu_slots(runs, jobs_per_device or 1)
    else:
        usual = max(1, cores() // 2) if kinds == {"cpu"} else 1
        slots = _shared_slots(kinds.pop(), min(len(runs), jobs_per_device or usual))
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, cores() // len(slots)))
    return [
        dataclasses.replace(slot, environment=slot.environment | {"OMP_NUM_THREADS": threads})
        for slot in slots[: len(runs)]
    ]


def _gpu_slots(runs: Sequence[Run], runs_each: int) -> list[Slot]:
    if runs_each > 1 and any(run.config.compile is Switch.on for run in runs):
        raise UserError(
            "compile=on: runs that share a process cannot be compiled; use compile=auto "
            "or jobs_per_device=1"
        )
    count = torch.cuda.device_count()
    visible = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    names = (visible or [str(index) for index in range(count)])[:count]
    return [
        Slot(name=f"GPU {name}", environment={"CUDA_VISIBLE_DEVICES": name}, runs=runs_each)
        for name in names
    ]


def _shared_slots(kind: str, count: int) -> list[Slot]:
    return [
        Slot(
            name=f"{kind.upper()}, share {share + 1} of {count}",
            environment={"CUDA_VISIBLE_DEVICES": ""},
        )
        for share in range(count)
    ]


def share_loaders(runs: Sequence[Run], slots: Sequence[Slot]) -> list[Run]:
    """The runs, with the cores that decode photographs shared among those that train at once."""
    share = max(1, cores() // sum(slot.runs for slot in slots))
    return [
        dataclasses.replace(
            run,
            config=dataclasses.replace(
                run.config, dataset=dataclasses.replace(data, workers=share)
            ),
        )
        if (data := run.config.dataset).name is DatasetName.imagenet and data.workers is None
        else run
        for run in runs
    ]


def _plan(slots: Sequence[Slot], *, runs: int) -> str:
    """What is about to happen, in a line."""
    threads, runs_each = slots[0].environment["OMP_NUM_THREADS"], slots[0].runs
    where = (
        ", ".join(slot.name for slot in slots)
        if slots[0].environment["CUDA_VISIBLE_DEVICES"]
        else "the CPU"
    )
    processes = "1 worker process" if len(slots) == 1 else f"{len(slots)} worker processes"
    words = f"{runs} runs: {processes} on {where}, {threads} thread{'s' * (threads != '1')} each"
    return words + (f", {runs_each} runs at a time in each" if runs_each > 1 else "")


class Sweep:
    """Keeps every slot busy until each run has its outcome."""

    def __init__(self, runs: Sequence[Run], slots: Sequence[Slot], *, display: LineDisplay) -> None:
        self._runs, self._slots, self._display = runs, slots, display
        self._waiting = deque(range(len(runs)))
        self._outcomes: dict[int, Outcome] = {}
        self._workers: list[WorkerHandle] = []
        self._stopping = False

    def run(self) -> list[Outcome]:
        """Raises Stopped after a signal, once every run in flight has saved."""
        try:
            with stop_on_signal() as self._request, self._request.deferred():
                while self._waiting or self._workers:
                    if self._request.signum is not None and not self._stopping:
                        self._stopping = True
                        self._waiting.clear()
                        self._display.warn("stopping; the runs save first")
                    self._fill_slots()
                    time.sleep(_POLL_SECONDS)
                    self._collect()
                    self._display.refresh()
        finally:
            for worker in self._workers:
                worker.kill()
        if (signum := self._request.signum) is not None and len(self._outcomes) < len(self._runs):
            ended = f"{len(self._outcomes)} of {len(self._runs)} runs had ended"
            raise Stopped(f"the sweep stops, {ended}; the same command continues", signum=signum)
        return [self._outcomes[number] for number in range(len(self._runs))]

    def _fill_slots(self) -> None:
        """Gives each slot as many runs as it has room for, and stops workers without any."""
        for slot in self._slots:
            worker = next((worker for worker in self._workers if worker.slot is slot), None)
            if worker is None and self._waiting:
                worker = WorkerHandle(slot)
                self._workers.append(worker)
            if worker is None:
                continue
            while self._waiting and len(worker.in_flight) < slot.runs and not worker.stdin.closed:
                number = self._waiting.popleft()
                self._display.started(number, f"{slot.name}, process {worker.process.pid}")
                worker.give(number, self._runs[number])
            if self._stopping or not worker.in_flight:
                worker.stop()

    def _collect(self) -> None:
        """Notes which runs and which processes have ended."""
        for worker in list(self._workers):
            gone = worker.process.poll() is not None  # before its last lines are read
            for warning in worker.warnings():
                self._display.warn(f"{worker.slot.name}: {warning}")
            for number, outcome in worker.outcomes():
                self._end(number, outcome, worker=worker)
            if gone:
                for number in sorted(worker.in_flight):
                    self._end(number, worker.lost(), worker=worker)
                worker.kill()
                self._workers.remove(worker)

    def _end(self, number: int, outcome: Outcome, *, worker: WorkerHandle) -> None:
        """Notes how a run ended.

        A run that was stopped together with the sweep has not: the same command continues it.
        """
        if self._request.signum is not None and outcome.code:
            return
        if outcome.code > 128:  # somebody stopped this one process; a new one takes its slot
            outcome = dataclasses.replace(outcome, code=FAILED)
            worker.stop()
        self._outcomes[number] = outcome
        self._display.ended(number, outcome)

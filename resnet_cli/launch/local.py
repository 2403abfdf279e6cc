"""hydra/launcher=local: the runs of a sweep side by side on this machine, a worker process for
each GPU or share of the CPU.
"""

import dataclasses
import os
import time
from collections import deque
from collections.abc import Sequence

import torch

from resnet_cli.data.choices import DatasetName
from resnet_cli.launch.display import Lines, shown
from resnet_cli.launch.jobs import Outcome
from resnet_cli.launch.worker_process import Slot, Worker
from resnet_cli.run.run import Run
from resnet_cli.runtime.choices import Switch
from resnet_cli.runtime.device import choose_device, cores
from resnet_cli.runtime.errors import FAILED, Stopped, UserError
from resnet_cli.runtime.signals import stop_on_signal

TICK = 0.1  # seconds between looks at what has ended


def slots(runs: Sequence[Run], jobs_per_device: int | None) -> list[Slot]:
    """Where `runs` train, and how many at a time. Raises UserError where they do not fit.

    A process for each GPU, which trains `jobs_per_device` (1) of them in turns. On the CPU so many
    processes (half the cores), which share its cores unless OMP_NUM_THREADS says otherwise.
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
        visible = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
        names = (visible or [str(index) for index in range(torch.cuda.device_count())])[
            : torch.cuda.device_count()
        ]
        each = jobs_per_device or 1
        if each > 1 and any(run.config.compile is Switch.on for run in runs):
            raise UserError(
                "compile=on: runs that share a process cannot be compiled; use compile=auto "
                "or jobs_per_device=1"
            )
        found = [Slot(f"GPU {name}", {"CUDA_VISIBLE_DEVICES": name}, each) for name in names]
    else:
        processes = min(len(runs), jobs_per_device or max(1, cores() // 2))
        found = [
            Slot(f"CPU, share {share + 1} of {processes}", {"CUDA_VISIBLE_DEVICES": ""})
            for share in range(processes)
        ]
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, cores() // len(found)))
    return [
        dataclasses.replace(slot, environment=slot.environment | {"OMP_NUM_THREADS": threads})
        for slot in found[: len(runs)]
    ]


def share_loaders(runs: Sequence[Run], places: Sequence[Slot]) -> list[Run]:
    """GPUs want all cores for decoding photographs; several have to share them."""
    share = max(1, cores() // sum(place.runs for place in places))
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


def plan(places: Sequence[Slot], *, runs: int) -> str:
    """What is about to happen, in a line."""
    threads, each = places[0].environment["OMP_NUM_THREADS"], places[0].runs
    where = (
        ", ".join(place.name for place in places)
        if places[0].environment["CUDA_VISIBLE_DEVICES"]
        else "the CPU"
    )
    processes = "1 worker process" if len(places) == 1 else f"{len(places)} worker processes"
    words = f"{runs} runs: {processes} on {where}, {threads} thread{'s' * (threads != '1')} each"
    return words + (f", {each} runs at a time in each" if each > 1 else "")


def sweep(runs: Sequence[Run], jobs_per_device: int | None) -> list[Outcome]:
    """Trains all of them.

    Raises UserError before anything has started, and Stopped, after saving, when a signal asked for
    it.
    """
    places = slots(runs, jobs_per_device)
    if places[0].environment["CUDA_VISIBLE_DEVICES"]:
        runs = share_loaders(runs, places)
    print(plan(places, runs=len(runs)), flush=True)
    with shown(runs) as display:
        return Sweep(runs, places, display).run()


class Sweep:
    """Keeps every place busy until each run has its outcome."""

    def __init__(self, runs: Sequence[Run], places: Sequence[Slot], display: Lines) -> None:
        self.runs, self.places, self.display = runs, places, display
        self.waiting = deque(range(len(runs)))
        self.outcomes: dict[int, Outcome] = {}
        self.workers: list[Worker] = []
        self.stopping = False

    def run(self) -> list[Outcome]:
        """Raises Stopped when a signal asked for it, and every run in flight has saved."""
        try:
            with stop_on_signal() as self.request:
                while self.waiting or self.workers:
                    if self.request.signum is not None and not self.stopping:
                        self.stopping = True
                        self.waiting.clear()
                        self.display.warn("stopping; the runs save first")
                    self.feed()
                    time.sleep(TICK)
                    self.listen()
                    self.display.refresh()
        finally:
            for worker in self.workers:
                worker.kill()
        if (signum := self.request.signum) is not None and len(self.outcomes) < len(self.runs):
            ended = f"{len(self.outcomes)} of {len(self.runs)} runs had ended"
            raise Stopped(f"the sweep stops, {ended}; the same command continues", signum=signum)
        return [self.outcomes[number] for number in range(len(self.runs))]

    def feed(self) -> None:
        """Gives every place what it has room for; a process with nothing left to do may go."""
        for place in self.places:
            worker = next((worker for worker in self.workers if worker.slot is place), None)
            if worker is None and self.waiting:
                worker = Worker(place)
                self.workers.append(worker)
            if worker is None:
                continue
            while self.waiting and len(worker.in_flight) < place.runs and not worker.stdin.closed:
                number = self.waiting.popleft()
                self.display.started(number, f"{place.name}, process {worker.process.pid}")
                worker.give(number, self.runs[number])
            if self.stopping or not worker.in_flight:
                worker.stop()

    def listen(self) -> None:
        """Notes what has ended, runs and processes."""
        for worker in list(self.workers):
            gone = worker.process.poll() is not None  # before its last words are read
            for remark in worker.remarks():
                self.display.warn(f"{worker.slot.name}: {remark}")
            for number, outcome in worker.outcomes():
                self.end(number, outcome, worker)
            if gone:
                for number in sorted(worker.in_flight):
                    self.end(number, worker.lost(), worker)
                worker.kill()
                self.workers.remove(worker)

    def end(self, number: int, outcome: Outcome, worker: Worker) -> None:
        """Notes how a run ended.

        Stopped together with the sweep it has not: the same command continues it.
        """
        if self.request.signum is not None and outcome.code:
            return
        if outcome.code > 128:  # somebody stopped this one process; a new one takes its place
            outcome = dataclasses.replace(outcome, code=FAILED)
            worker.stop()
        self.outcomes[number] = outcome
        self.display.ended(number, outcome)

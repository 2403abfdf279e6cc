"""The faults that a run must survive, by category, and what it must be like after each."""

import errno
import random
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.faults.nursery import Fault, Nursery
from tests.helpers.commands import Outcome
from tests.helpers.numbers import assert_same
from tests.helpers.runs import ended, folder_of

# Six steps, three checkpoints, two evaluations: half a second, and 128 operations on files.
WORDS = [
    *("model=resnet20", "model.depth=8", "dataset=synthetic", "dataset.train_images=64"),
    *("dataset.test_images=32", "batch_size=16", "schedule.iterations=6", "log_every=2"),
    *("eval_every=3", "checkpoint_every=2", "device=cpu"),
]
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGXCPU, signal.SIGUSR1)

Draw = Callable[[random.Random, int], Fault]  # from how many operations an undisturbed run has


def _failing(error: int, *, lasting: bool) -> Draw:
    return lambda rng, count: Fault(at=rng.randint(1, count), error=error, lasting=lasting)


CATEGORIES: dict[str, Draw] = {
    "EIO at one operation": _failing(errno.EIO, lasting=False),
    "EIO from one on": _failing(errno.EIO, lasting=True),
    "ESTALE from one on": _failing(errno.ESTALE, lasting=True),
    "a full disk (ENOSPC from one on)": _failing(errno.ENOSPC, lasting=True),
    "ENOSPC at one operation": _failing(errno.ENOSPC, lasting=False),
    "a quota (EDQUOT from one on)": _failing(errno.EDQUOT, lasting=True),
    "SIGKILL at one operation": lambda rng, count: Fault(
        at=rng.randint(1, count), signum=signal.SIGKILL
    ),
    "SIGKILL within one write": lambda rng, count: Fault(
        at=rng.randint(1, count), signum=signal.SIGKILL, torn=True
    ),
    "a stopping signal at one operation": lambda rng, count: Fault(
        at=rng.randint(1, count), signum=rng.choice(STOPPING)
    ),
    "a stopping signal at any moment": lambda rng, _: Fault(
        signum=rng.choice(STOPPING), after=rng.uniform(0.05, 0.6)
    ),
    "SIGKILL at any moment": lambda rng, _: Fault(
        signum=signal.SIGKILL, after=rng.uniform(0.05, 0.6)
    ),
    "SIGKILL on a file system without locks": lambda rng, count: Fault(
        at=rng.randint(1, count), signum=signal.SIGKILL, without_locks=True
    ),
}


class Bench:
    """Runs to compare with, and the process that makes more."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.nursery, self.number = folder, Nursery(folder), 0
        self.undisturbed = folder / "undisturbed"
        outcome = self.nursery.train(self.undisturbed, *WORDS)
        assert outcome.code == 0, outcome.err
        self.journal = self.nursery.journal()
        self.operations = len(self.journal)

    def hold(self, fault: Fault) -> None:
        """Has a run meet the fault once; then the same command, undisturbed, must end with the bits
        of a run that met none, and leave what that leaves.
        """
        self.number += 1
        runs = self.folder / f"run{self.number}"
        first = self.nursery.train(runs, *WORDS, fault=fault)
        check_told(first, fault, runs=runs)
        locks = Fault(without_locks=fault.without_locks)
        second = self.nursery.train(runs, *WORDS, fault=locks)
        assert second.code == 0, (first, second)
        assert_same(ended(runs), ended(self.undisturbed))
        assert sorted(_names(runs)) == sorted(_names(self.undisturbed))
        left = [path.name for path in self.nursery.temporary.iterdir()]
        assert [name for name in left if not name.startswith("torchinductor")] == []


def check_told(outcome: Outcome, fault: Fault, *, runs: Path) -> None:
    """One line and the right exit code, or nothing where it did no harm."""
    assert not any(word in outcome.err for word in ("Traceback", "Error:", "b'")), outcome
    codes = {0}
    if fault.signum == signal.SIGKILL:
        codes |= {-signal.SIGKILL}
    elif fault.signum:  # before the command's first line, it is the system that ends it
        codes |= {128 + fault.signum, -fault.signum}
    else:
        codes |= {1, 2}  # 2: where the run folder cannot be made
    assert outcome.code in codes, outcome
    if outcome.code > 0:
        line = outcome.err.splitlines()[-1]
        assert line.startswith("resnet-train: "), outcome
        assert fault.signum or str(runs) in line, outcome  # which disk it is


def _names(runs: Path) -> Iterator[str]:
    """The files of the one run there. TensorBoard's have the time and the process in their names,
    and a start that continues adds one. Whether an empty .lock stays is filelock's affair.
    """
    found = {str(path.relative_to(folder_of(runs))) for path in folder_of(runs).rglob("*")}
    return iter({re.sub(r"tfevents\..*", "tfevents", name) for name in found - {".lock"}})

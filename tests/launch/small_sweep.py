"""A sweep of four small runs."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from resnet_cli.config import compose
from resnet_cli.config.compose import Job
from resnet_cli.run.folder import RunFolder
from resnet_cli.run.run import Run
from tests.helpers.commands import TINY
from tests.helpers.numbers import assert_same
from tests.helpers.runs import ended

WORDS = [word for word in TINY if not word.startswith(("model=", "model.depth"))]
WORDS += ["model=plain20,resnet20", "model.depth=8", "seed=0,1"]


@cache
def composed(*words: str) -> list[Job]:
    return compose.jobs([*WORDS, *words], multirun=True)[0]


def planned(runs: Path, *words: str) -> list[Run]:
    """The runs of the small sweep, below `runs`."""
    return [
        Run(
            config=replace(job.config, runs=str(runs)),
            folder=RunFolder(runs / job.folder.relative_to("runs")),
            command="resnet-train",
        )
        for job in composed(*words)
    ]


def assert_equal(some: Sequence[Run], others: Sequence[Run]) -> None:
    """Bit for bit the same weights, momentum, counters and logs."""
    for one, other in zip(some, others, strict=True):
        assert one.folder.read_result() is not None
        assert_same(ended(one.folder.path), ended(other.folder.path), str(one.folder))

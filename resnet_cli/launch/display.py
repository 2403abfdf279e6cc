"""How far the runs of a sweep are, read from their folders, and told: a live table on a
terminal, a line now and then elsewhere.
"""

import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from resnet_cli.launch.jobs import Outcome
from resnet_cli.run.run import Run
from resnet_cli.runtime import console
from resnet_cli.runtime.console import duration, figures
from resnet_cli.training.logbook import METRICS, log_point

# bytes of metrics.jsonl that are read: some forty lines, so the newest evaluation is among them
TAIL = 8192
COLUMNS = {
    "loss": "train/loss",
    "train %": "train/error",
    "val %": "val/error",
    "test %": "test/error",
    "images/s": "images_per_second",
}


class State(StrEnum):
    running = "running"
    broken = "broken"
    waiting = "waiting"
    done = "done"


@dataclass
class Row:
    """A run and how far it is."""

    name: str
    run: Run
    state: State = State.waiting
    iteration: int = 0
    values: dict[str, float] = field(default_factory=dict)  # the newest figure under each name
    told: float = 0.0  # when a line last told of it

    def look(self) -> None:
        """Reads the newest log points."""
        for line in newest(self.run.folder.path / METRICS):
            self.values |= line
            self.iteration = int(line["iteration"])

    @property
    def iterations(self) -> int:
        return self.run.config.schedule.iterations

    @property
    def left(self) -> str:
        """The time to go at the newest speed."""
        speed = self.values.get("images_per_second")
        return (
            duration((self.iterations - self.iteration) * self.run.config.batch_size / speed)
            if speed
            else ""
        )


def newest(metrics: Path) -> list[dict[str, float]]:
    """The last whole lines of a metrics.jsonl that may be growing."""
    try:
        with metrics.open("rb") as file:
            file.seek(max(0, metrics.stat().st_size - TAIL))
            texts = file.read().decode(errors="replace").splitlines()
    except OSError:
        return []
    lines = []
    for text in texts:
        with suppress(ValueError):  # cut off
            lines.append(log_point(text))
    return lines


def names(runs: Sequence[Run]) -> list[str]:
    """Each run's folder, without the parts that all of them share."""
    parts = [run.folder.path.parts for run in runs]
    depth = max(map(len, parts))
    padded = [(*path[:-1], *[""] * (depth - len(path)), path[-1]) for path in parts]
    differing = [level for level in range(depth) if len({path[level] for path in padded}) > 1]
    return [
        "/".join(path[level] for level in differing if path[level]) or path[-1] for path in padded
    ]


class Lines:
    """For a file, a pipe or a CI log."""

    def __init__(self, runs: Sequence[Run], *, clock: Callable[[], float] = time.monotonic) -> None:
        self.rows = [Row(name, run) for name, run in zip(names(runs), runs, strict=True)]
        self.clock = clock

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def started(self, number: int, where: str) -> None:
        row = self.rows[number]
        row.state, row.told = State.running, self.clock()
        self.say(f"{row.name} starts ({where})")

    def ended(self, number: int, outcome: Outcome) -> None:
        """Told at once, and a broken run on stderr."""
        row = self.rows[number]
        row.look()
        row.state = State.broken if outcome.code else State.done
        if outcome.code:
            self.warn(f"{row.name}: {outcome.line}")
        else:
            self.say(f"{row.name} is done: {outcome.line}")

    def refresh(self) -> None:
        """A line for each run whose last one is long ago."""
        for row in self.rows:
            if row.state is State.running and self.clock() - row.told > console.LINE_EVERY:
                before, row.told = row.iteration, self.clock()
                row.look()
                if row.iteration > before:
                    eta = f"  ETA {row.left}" if row.left else ""
                    self.say(
                        f"{row.name} {row.iteration:,}/{row.iterations:,}  "
                        f"{figures(row.values)}{eta}"
                    )

    def say(self, text: str) -> None:
        print(text, flush=True)

    def warn(self, text: str) -> None:
        print(f"resnet-train: {text}", file=sys.stderr, flush=True)


class LiveTable(Lines):
    """For a terminal: every run in a row of its own, as far as they fit; what ends is also told
    above, and stays.
    """

    def __init__(self, runs: Sequence[Run]) -> None:
        super().__init__(runs)
        self.screen = Console()
        self.live = Live(
            console=self.screen,
            auto_refresh=False,
            get_renderable=self.table,
            redirect_stderr=sys.stderr.isatty(),
        )
        self.drawn = 0.0

    def __enter__(self) -> Self:
        self.live.start(refresh=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.live.refresh()
        self.live.stop()

    def refresh(self) -> None:
        if self.clock() - self.drawn > 1:
            for row in self.rows:
                if row.state is State.running:
                    row.look()
            self.live.refresh()
            self.drawn = self.clock()

    def table(self) -> Table:
        """Running runs first, so that they are never the ones that do not fit."""
        order = list(State)
        rows = sorted(self.rows, key=lambda row: order.index(row.state))
        room = max(1, self.screen.size.height - 5)
        counts = Counter(row.state for row in rows)
        caption = ", ".join(f"{counts[state]} {state}" for state in order if counts[state])
        more = f"; {len(rows) - room} of them not shown" if len(rows) > room else ""
        columns = [
            title
            for title, key in COLUMNS.items()
            if title != "val %" or any(key in row.values for row in rows)
        ]
        table = Table(
            caption=caption + more,
            caption_justify="left",
            box=None,
            pad_edge=False,
            header_style="bold",
        )
        table.add_column("run", no_wrap=True)
        table.add_column("")
        for title in ("iteration", *columns, "left"):
            table.add_column(title, justify="right", no_wrap=True)
        for row in rows[:room]:
            bar = ProgressBar(total=row.iterations, completed=row.iteration, width=16)
            shown = (
                bar
                if row.state is State.running
                else f"[red]{row.state}"
                if row.state is State.broken
                else str(row.state)
            )
            values = [
                f"{row.values[key]:,.{0 if title == 'images/s' else 2}f}"
                if (key := COLUMNS[title]) in row.values
                else ""
                for title in columns
            ]
            left = row.left if row.state is State.running else ""
            table.add_row(row.name, shown, f"{row.iteration:,}/{row.iterations:,}", *values, left)
        return table


def shown(runs: Sequence[Run]) -> Lines:
    """The table where there is a terminal for it."""
    return LiveTable(runs) if sys.stdout.isatty() else Lines(runs)

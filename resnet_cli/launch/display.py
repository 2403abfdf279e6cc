"""How far the runs of a sweep are: a live table on a terminal, a line now and then elsewhere.

Read from the run folders, so that it does not matter where the runs train.
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

from resnet_cli.launch.outcome import Outcome
from resnet_cli.run.run import Run
from resnet_cli.runtime import console
from resnet_cli.runtime.console import duration
from resnet_cli.training.metrics import METRICS, log_point

# bytes of metrics.jsonl that are read: some forty lines, so the newest evaluation is among them
_TAIL = 8192
_ROOM_FOR_BARS = 100  # columns; a narrower terminal gets percentages
_HELD_OUT = {"val %": "val/error", "test %": "test/error"}


class State(StrEnum):
    """In the order of the table."""

    running = "running"
    failed = "failed"
    waiting = "waiting"
    done = "done"


@dataclass(kw_only=True)
class _Row:
    """A run and how far it is."""

    name: str
    run: Run
    state: State = State.waiting
    iteration: int = 0
    values: dict[str, float] = field(default_factory=dict)  # the newest figure under each name
    measured: dict[str, int] = field(default_factory=dict)  # and the iteration it is from
    last_shown: float = 0.0  # when the last line about it was printed
    finished_before: bool = False  # by an earlier sweep: it is only read again

    def update(self) -> None:
        """Reads the newest log points."""
        for line in newest_log_points(self.run.folder.path / METRICS):
            self.iteration = int(line.pop("iteration"))
            self.values |= line
            self.measured |= dict.fromkeys(line, self.iteration)

    @property
    def iterations(self) -> int:
        return self.run.config.schedule.iterations

    @property
    def time_left(self) -> str:
        """At the newest speed; empty where that is not known yet."""
        speed = self.values.get("images_per_second")
        return (
            duration((self.iterations - self.iteration) * self.run.config.batch_size / speed)
            if speed
            else ""
        )

    def figure(self, name: str, *, form: str = ".2f") -> str:
        """The newest value; empty where there is none."""
        return f"{self.values[name]:{form}}" if name in self.values else ""

    @property
    def told(self) -> str:
        """The newest errors, each with its iteration where that is not the newest one."""
        names = {
            "train/error": "train error",
            "val/error": "val error",
            "test/error": "test error",
        }
        return "  ".join(
            f"{words} {self.values[name]:.2f} %"
            + (f" at {at:,}" if (at := self.measured[name]) != self.iteration else "")
            for name, words in names.items()
            if name in self.values
        )


def newest_log_points(metrics: Path) -> list[dict[str, float]]:
    """The last whole lines of a metrics.jsonl that may still be growing."""
    try:
        with metrics.open("rb") as file:
            file.seek(max(0, metrics.stat().st_size - _TAIL))
            texts = file.read().decode(errors="replace").splitlines()
    except OSError:
        return []
    lines = []
    for text in texts:
        with suppress(ValueError):  # cut off
            lines.append(log_point(text))
    return lines


def short_names(runs: Sequence[Run]) -> list[str]:
    """Each run's folder, without the parts that all of them share."""
    parts = [run.folder.path.parts for run in runs]
    depth = max(map(len, parts))
    padded = [(*path[:-1], *[""] * (depth - len(path)), path[-1]) for path in parts]
    differing = [level for level in range(depth) if len({path[level] for path in padded}) > 1]
    return [
        "/".join(path[level] for level in differing if path[level]) or path[-1] for path in padded
    ]


class LineDisplay:
    """Lines for a file, a pipe or a CI log."""

    def __init__(self, runs: Sequence[Run], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._rows = [
            _Row(name=name, run=run) for name, run in zip(short_names(runs), runs, strict=True)
        ]
        self._clock = clock

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def started(self, number: int, where: str) -> None:
        """Run `number` starts."""
        row = self._rows[number]
        row.state, row.last_shown = State.running, self._clock()
        row.finished_before = row.run.folder.result_file.is_file()
        if not row.finished_before:
            self._say(f"{row.name} starts ({where})")

    def ended(self, number: int, outcome: Outcome) -> None:
        """Run `number` has ended; of a failed one the line goes to stderr."""
        row = self._rows[number]
        row.update()
        row.state = State.failed if outcome.code else State.done
        if outcome.code:
            self.warn(f"{row.name}: {outcome.line}")
        else:
            verb = "was finished before" if row.finished_before else "is done"
            self._say(f"{row.name} {verb}: {outcome.line}")

    def refresh(self) -> None:
        """Prints a line for each run whose last one is long ago."""
        for row in self._rows:
            if row.state is State.running and self._clock() - row.last_shown > console.LINE_EVERY:
                before, row.last_shown = row.iteration, self._clock()
                row.update()
                if row.iteration > before:
                    eta = f"  ETA {row.time_left}" if row.time_left else ""
                    self._say(f"{row.name} {row.iteration:,}/{row.iterations:,}  {row.told}{eta}")

    def _say(self, text: str) -> None:
        print(text, flush=True)

    def warn(self, text: str) -> None:
        """A line on stderr, above the table if there is one."""
        print(f"resnet-train: {text}", file=sys.stderr, flush=True)


class TableDisplay(LineDisplay):
    """A table for a terminal, as many rows as fit; how a run ended is also printed above it."""

    def __init__(self, runs: Sequence[Run]) -> None:
        super().__init__(runs)
        self._screen = Console()
        self._live = Live(
            console=self._screen,
            auto_refresh=False,
            get_renderable=self._table,
            redirect_stderr=sys.stderr.isatty(),
        )
        self._last_drawn = 0.0

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.refresh()
        self._live.stop()

    def refresh(self) -> None:
        if self._clock() - self._last_drawn > 1:
            for row in self._rows:
                if row.state is State.running:
                    row.update()
            self._live.refresh()
            self._last_drawn = self._clock()

    def _table(self) -> Table:
        """Running runs come first, so that they are never the ones that do not fit."""
        order = list(State)
        rows = sorted(self._rows, key=lambda row: order.index(row.state))
        room = max(1, self._screen.size.height - 5)
        counts = Counter(row.state for row in rows)
        caption = ", ".join(f"{counts[state]} {state}" for state in order if counts[state])
        more = f"; {len(rows) - room} of them not shown" if len(rows) > room else ""
        held_out = [
            (title, key)
            for title, key in _HELD_OUT.items()
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
        errors = ["train %", *(word for title, _ in held_out for word in (title, "at"))]
        for title in ("iteration", *errors, "images/s", "left"):
            table.add_column(title, justify="right", no_wrap=True)
        for row in rows[:room]:
            going = row.state is State.running
            measured = [
                cell
                for _, key in held_out
                for cell in (row.figure(key), f"{row.measured[key]:,}" if key in row.values else "")
            ]
            table.add_row(
                row.name,
                self._state(row),
                f"{row.iteration:,}",
                row.figure("train/error"),
                *measured,
                row.figure("images_per_second", form=",.0f"),
                row.time_left if going else "",
            )
        return table

    def _state(self, row: _Row) -> ProgressBar | str:
        """How far a run is, or how it ended."""
        if row.state is State.failed:
            return f"[red]{row.state}"
        if row.state is not State.running:
            return str(row.state)
        if self._screen.size.width < _ROOM_FOR_BARS:
            return f"{100 * row.iteration / row.iterations:.0f} %"
        return ProgressBar(total=row.iterations, completed=row.iteration, width=16)


def make_display(runs: Sequence[Run]) -> LineDisplay:
    """The table where there is a terminal for it."""
    return TableDisplay(runs) if sys.stdout.isatty() else LineDisplay(runs)

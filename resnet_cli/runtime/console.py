"""Output for people: a progress bar on a terminal, plain lines elsewhere, and log.txt."""

import os
import re
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from resnet_cli.runtime.files import encode, naming

if TYPE_CHECKING:  # rich takes a moment to import, and only a run shows its progress
    from resnet_cli.runtime.progress import Bar, ProgressTable

LINE_EVERY = 20.0  # seconds between lines if stdout is not a terminal
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")  # what makes text bold, for one


def duration(seconds: float) -> str:
    """Formats a duration: `45 s`, `4 min 05 s`, `2 h 10 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def bold(text: str) -> str:
    """Makes text bold on a terminal, unless NO_COLOR is set."""
    return (
        f"\033[1m{text}\033[0m" if sys.stdout.isatty() and not os.environ.get("NO_COLOR") else text
    )


def rows(pairs: Sequence[tuple[str, str]], *, width: int = 0) -> str:
    """Formats names and values in two columns, the first of at least `width` characters."""
    width = max(width, *(len(name) for name, _ in pairs))
    return "\n".join(f"  {name:<{width}}  {value}" for name, value in pairs)


class Console:
    """Prints to stdout and stderr, and to a log file once `keep` has named one."""

    def __init__(self, command: str = "resnet-train", *, silent: bool = False) -> None:
        self.command = command  # named in front of warnings
        self.silent = silent  # in all but one of several processes
        self.log: Path | None = None
        self.bar: Bar | None = None
        self.table: ProgressTable | None = None
        self.last_line = self.started = time.monotonic()

    def keep(self, log: Path) -> None:
        """From now on also writes every line to the file `log`, with the time (UTC)."""
        self.log = log

    def say(self, text: str = "") -> None:
        """Prints a text, above the progress bar if there is one."""
        self._print(text)
        self.record(text)

    def _print(self, text: str) -> None:
        if self.silent:
            return
        if self.bar is not None:
            self.bar.print(text)
        else:
            print(text, flush=True)

    def warn(self, text: str) -> None:
        """Prints a warning on stderr."""
        print(f"{self.command}: {text}", file=sys.stderr, flush=True)
        self.record(f"warning: {text}")

    def record(self, text: str) -> None:
        """Writes a text to the log file only."""
        if self.log is not None and text:
            line = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {_ESCAPE.sub('', text)}\n"
            with naming(self.log), self.log.open("ab") as file:
                file.write(encode(line))

    def start(
        self, name: str, *, iteration: int, iterations: int, measured: Sequence[str] = ()
    ) -> None:
        """Starts the progress of a run at `iteration` of `iterations`.

        `measured`: the errors that its evaluations measure, named as in metrics.jsonl.
        """
        self.iterations = iterations
        self.first = self.iteration = iteration
        self.last_line = self.started = time.monotonic()
        if self.silent:
            return
        from resnet_cli.runtime.progress import Bar, ProgressTable

        self.table = ProgressTable(iterations=iterations, measured=measured)
        self._print(bold(self.table.heading))
        if sys.stdout.isatty():
            self.bar = Bar(name, iterations=iterations, time_left=self._time_left)
            self.bar.advance(iteration)

    def busy(self, doing: str) -> None:
        """Says what takes a while before the next step, such as compiling."""
        if self.bar is not None:
            self.bar.doing = doing
            self.bar.refresh()
            self.record(doing)
        else:
            self.say(doing)

    def advance(self, iteration: int) -> None:
        """Advances the progress bar to `iteration`."""
        self.iteration = iteration
        if self.bar is not None:
            self.bar.advance(iteration)

    def show(self, values: Mapping[str, float], *, evaluated: bool) -> None:
        """Shows what was measured at this iteration, named as in metrics.jsonl.

        The row of an evaluation stays; other log points are told on the bar, or as a line now and
        then.
        """
        self.record(f"{self.iteration:,}/{self.iterations:,} {format_metrics(values)}")
        if self.table is None:
            return
        row = self.table.row(self.iteration, values, left=self._time_left())
        if self.bar is not None:
            self.bar.row = "" if evaluated else row
        due = time.monotonic() - self.last_line > LINE_EVERY
        if evaluated or (due and self.bar is None):
            self.last_line = time.monotonic()
            self._print(row)

    def _time_left(self) -> str:
        """At the speed of this start, evaluations and saving included; empty before and after."""
        steps, left = self.iteration - self.first, self.iterations - self.iteration
        seconds = time.monotonic() - self.started
        return duration(seconds / steps * left) if steps and left else ""

    def stop(self) -> None:
        """Ends the progress of a run; its last row stays."""
        bar, self.bar, self.table = self.bar, None, None
        if bar is not None:
            row, bar.row = bar.row, ""
            bar.close()
            if row:
                self._print(row)


def format_metrics(values: Mapping[str, float]) -> str:
    """Formats the metrics of a log point in one line."""
    forms = {
        "train/loss": "loss {:.3f}",
        "train/error": "train error {:.2f} %",
        "val/error": "val error {:.2f} %",
        "val/top5_error": "top-5 {:.2f} %",
        "test/error": "test error {:.2f} %",
        "test/top5_error": "top-5 {:.2f} %",
        "lr": "lr {:g}",
        "images_per_second": "{:,.0f} images/s",
    }
    return "  ".join(form.format(values[name]) for name, form in forms.items() if name in values)

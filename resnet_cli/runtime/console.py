"""What a person sees: a bar on a terminal, a plain line now and then elsewhere, and log.txt
beside them.
"""

import os
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tqdm import tqdm

LINE_EVERY = 20.0  # seconds between lines where stdout is no terminal


def duration(seconds: float) -> str:
    """`45 s`, `4 min 05 s`, `2 h 10 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def bold(text: str) -> str:
    """Bold on a terminal, unless NO_COLOR asks for plain text."""
    return (
        f"\033[1m{text}\033[0m" if sys.stdout.isatty() and not os.environ.get("NO_COLOR") else text
    )


def rows(pairs: Sequence[tuple[str, str]]) -> str:
    """Names and values in two columns."""
    width = max(len(name) for name, _ in pairs)
    return "\n".join(f"  {name:<{width}}  {value}" for name, value in pairs)


class Console:
    """Prints, and keeps what it printed in `log` once `keep` has named a file."""

    def __init__(self, command: str = "resnet-train", *, silent: bool = False) -> None:
        self.command = command  # who speaks on stderr
        self.silent = silent  # one of several processes, of which another speaks
        self.log: Path | None = None
        self.bar: tqdm[Any] | None = None
        self.shown: dict[str, float] = {}
        self.last_line = self.started = time.monotonic()

    def keep(self, log: Path) -> None:
        """From here on every line also goes to the file `log`, with the time (UTC)."""
        self.log = log

    def say(self, text: str = "") -> None:
        """Text for the person, above the bar if there is one."""
        if self.bar is not None:
            self.bar.clear()
        if not self.silent:
            print(text, flush=True)
        self.record(text)

    def warn(self, text: str) -> None:
        """The same on stderr."""
        print(f"{self.command}: {text}", file=sys.stderr, flush=True)
        self.record(f"warning: {text}")

    def record(self, text: str) -> None:
        if self.log is not None and text:
            with self.log.open("a") as file:
                file.write(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {text}\n")

    def start(self, name: str, *, iteration: int, iterations: int) -> None:
        """Begins a run of which `iteration` of `iterations` are done."""
        self.name, self.first, self.iteration, self.iterations = (
            name,
            iteration,
            iteration,
            iterations,
        )
        self.shown = {}
        self.last_line = self.started = time.monotonic()
        if sys.stdout.isatty() and not self.silent:
            colour = None if os.environ.get("NO_COLOR") else "green"
            form = (
                "{desc} {percentage:3.0f}%|{bar}| {n:,}/{total:,} [{elapsed}<{remaining}]{postfix}"
            )
            self.bar = tqdm(
                desc=name,
                total=iterations,
                initial=iteration,
                file=sys.stdout,
                dynamic_ncols=True,
                colour=colour,
                bar_format=form,
            )

    def advance(self, iteration: int) -> None:
        """One more step is done."""
        self.iteration = iteration
        if self.bar is not None:
            self.bar.update(1)

    def show(self, values: Mapping[str, float]) -> None:
        """New figures, in the names of metrics.jsonl: on the bar, or as a line when the last
        one is long ago.
        """
        self.shown |= values
        self.record(f"{self.iteration:,}/{self.iterations:,} {figures(self.shown)}")
        if self.bar is not None:
            self.bar.set_postfix_str(figures(self.shown), refresh=False)
        elif time.monotonic() - self.last_line > LINE_EVERY or self.iteration == self.iterations:
            self.last_line = time.monotonic()
            left = (
                (self.last_line - self.started)
                / (self.iteration - self.first)
                * (self.iterations - self.iteration)
            )
            eta = f"  ETA {duration(left)}" if left else ""
            print(
                f"{self.name} {self.iteration:,}/{self.iterations:,}  {figures(self.shown)}{eta}",
                flush=True,
            )

    def stop(self) -> None:
        """Ends the bar."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None


def figures(values: Mapping[str, float]) -> str:
    """The figures of a log point in one line."""
    forms = {
        "train/loss": "loss {:.3f}",
        "train/error": "train error {:.2f} %",
        "val/error": "val error {:.2f} %",
        "val/top5_error": "top-5 {:.2f} %",
        "test/error": "test error {:.2f} %",
        "lr": "lr {:g}",
        "images_per_second": "{:,.0f} images/s",
    }
    return "  ".join(form.format(values[name]) for name, form in forms.items() if name in values)

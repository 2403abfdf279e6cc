"""Output for people: a progress bar on a terminal, plain lines elsewhere, and log.txt."""

import os
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tqdm import tqdm

from resnet_cli.runtime.files import encode, naming

LINE_EVERY = 20.0  # seconds between lines if stdout is not a terminal


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


def rows(pairs: Sequence[tuple[str, str]]) -> str:
    """Formats names and values in two columns."""
    width = max(len(name) for name, _ in pairs)
    return "\n".join(f"  {name:<{width}}  {value}" for name, value in pairs)


class Console:
    """Prints to stdout and stderr, and to a log file once `keep` has named one."""

    def __init__(self, command: str = "resnet-train", *, silent: bool = False) -> None:
        self.command = command  # named in front of warnings
        self.silent = silent  # in all but one of several processes
        self.log: Path | None = None
        self.bar: tqdm[Any] | None = None
        self.shown: dict[str, float] = {}
        self.last_line = self.started = time.monotonic()

    def keep(self, log: Path) -> None:
        """From now on also writes every line to the file `log`, with the time (UTC)."""
        self.log = log

    def say(self, text: str = "") -> None:
        """Prints a text, above the progress bar if there is one."""
        if self.bar is not None:
            self.bar.clear()
        if not self.silent:
            print(text, flush=True)
        self.record(text)

    def warn(self, text: str) -> None:
        """Prints a warning on stderr."""
        print(f"{self.command}: {text}", file=sys.stderr, flush=True)
        self.record(f"warning: {text}")

    def record(self, text: str) -> None:
        """Writes a text to the log file only."""
        if self.log is not None and text:
            line = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {text}\n"
            with naming(self.log), self.log.open("ab") as file:
                file.write(encode(line))

    def start(self, name: str, *, iteration: int, iterations: int) -> None:
        """Starts the progress bar of a run at `iteration` of `iterations`."""
        self.name, self.iterations = name, iterations
        self.first = self.iteration = iteration
        self.shown = {}
        self.last_line = self.started = time.monotonic()
        if sys.stdout.isatty() and not self.silent:
            color = None if os.environ.get("NO_COLOR") else "green"
            bar_format = (
                "{desc} {percentage:3.0f}%|{bar}| {n:,}/{total:,} [{elapsed}<{remaining}]{postfix}"
            )
            self.bar = tqdm(
                desc=name,
                total=iterations,
                initial=iteration,
                file=sys.stdout,
                dynamic_ncols=True,
                colour=color,
                bar_format=bar_format,
            )

    def advance(self, iteration: int) -> None:
        """Advances the progress bar by one step."""
        self.iteration = iteration
        if self.bar is not None:
            self.bar.update(1)

    def show(self, values: Mapping[str, float]) -> None:
        """Shows new metrics, named as in metrics.jsonl: on the bar, or as an occasional line."""
        self.shown |= values
        self.record(f"{self.iteration:,}/{self.iterations:,} {format_metrics(self.shown)}")
        if self.bar is not None:
            self.bar.set_postfix_str(format_metrics(self.shown), refresh=False)
        elif time.monotonic() - self.last_line > LINE_EVERY or self.iteration == self.iterations:
            self.last_line = time.monotonic()
            steps = max(1, self.iteration - self.first)  # none yet: an evaluation was still due
            seconds_per_step = (self.last_line - self.started) / steps
            left = seconds_per_step * (self.iterations - self.iteration)
            eta = f"  ETA {duration(left)}" if left else ""
            position = f"{self.name} {self.iteration:,}/{self.iterations:,}"
            print(f"{position}  {format_metrics(self.shown)}{eta}", flush=True)

    def stop(self) -> None:
        """Closes the progress bar."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None


def format_metrics(values: Mapping[str, float]) -> str:
    """Formats the metrics of a log point in one line."""
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

"""How far a run is: a row of a table for each evaluation, and on a terminal a bar below it.

Eighty columns are enough for all of it. A number stands in the row of the iteration it was
measured at, and nowhere else.
"""

import sys
import time
from collections.abc import Callable, Mapping, Sequence

from rich.console import Console, Group
from rich.constrain import Constrain
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

REFRESH_EVERY = 0.25  # seconds between two drawings of the bar: a few milliseconds each
# heading, the names in metrics.jsonl, width, format
_COLUMNS: tuple[tuple[str, tuple[str, ...], int, str], ...] = (
    ("train %", ("train/error",), 9, ".2f"),
    ("val %", ("val/error",), 8, ".2f"),
    ("test %", ("test/error",), 8, ".2f"),
    ("top-5 %", ("test/top5_error", "val/top5_error"), 9, ".2f"),
    ("lr", ("lr",), 9, ".3g"),
    ("images/s", ("images_per_second",), 10, ",.0f"),
)
_LEFT = 12  # columns of the time left


class ProgressTable:
    """The lines of one run's table."""

    def __init__(self, *, iterations: int, measured: Sequence[str]) -> None:
        """`measured`: the errors that evaluations measure, named as in metrics.jsonl."""
        self._iterations = iterations
        self._first = max(len("iteration"), 2 * len(f"{iterations:,}") + 1)
        always = {"train/error", "lr", "images_per_second"}
        self._columns = [column for column in _COLUMNS if {*column[1]} & {*always, *measured}]

    @property
    def heading(self) -> str:
        names = "".join(f"{title:>{width}}" for title, _, width, _ in self._columns)
        return f"{'iteration':>{self._first}}{names}{'left':>{_LEFT}}"

    def row(self, iteration: int, values: Mapping[str, float], *, left: str) -> str:
        """What was measured at one iteration; errors in percent."""
        cells = "".join(
            f"{next((f'{values[name]:{form}}' for name in names if name in values), ''):>{width}}"
            for _, names, width, form in self._columns
        )
        position = f"{iteration:,}/{self._iterations:,}"
        return f"{position:>{self._first}}{cells}{left:>{_LEFT}}".rstrip()


class Bar:
    """The newest row that is not printed yet, and a progress bar, at the foot of a terminal."""

    def __init__(self, name: str, *, iterations: int, time_left: Callable[[], str]) -> None:
        self._name, self._iterations, self._time_left = name, iterations, time_left
        self.iteration = 0
        self.row = ""  # the newest log point, where no evaluation has made it permanent
        self.doing = ""  # what takes the time now, instead of steps
        self._drawn = 0.0
        self._screen = Console(highlight=False, emoji=False, markup=False, soft_wrap=False)
        self._live = Live(
            console=self._screen,
            auto_refresh=False,
            transient=True,
            get_renderable=self._render,
            redirect_stdout=False,
            redirect_stderr=sys.stderr.isatty(),
        )
        self._live.start(refresh=True)

    def _render(self) -> Group:
        # a terminal may echo ^C behind the bar, which must not begin a new line
        width = max(20, self._screen.size.width - len("^C^C^C"))
        line = Table.grid(expand=True, padding=(0, 1))
        for ratio in (None, 1, None, None):
            line.add_column(ratio=ratio, no_wrap=True)
        line.add_row(
            Text(self._name),
            ProgressBar(total=self._iterations, completed=self.iteration),
            Text(f"{self.iteration:,}/{self._iterations:,}"),
            Text(self.doing or self._time_left()),
        )
        rows = [Text(self.row, style="dim", no_wrap=True)] if self.row else []
        return Group(*rows, Constrain(line, width))

    def advance(self, iteration: int) -> None:
        """Moves on to `iteration`; draws now and then."""
        self.iteration, self.doing = iteration, ""
        if time.monotonic() - self._drawn > REFRESH_EVERY:
            self.refresh()

    def refresh(self) -> None:
        """Draws."""
        self._live.refresh()
        self._drawn = time.monotonic()

    def print(self, text: str) -> None:
        """Prints lines above, which stay."""
        self._screen.print(Text.from_ansi(text), soft_wrap=True)

    def close(self) -> None:
        """Leaves the printed lines alone."""
        self._live.stop()

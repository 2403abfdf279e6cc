"""Tables 2 to 6: the paper's numbers, ours and the difference, as Markdown and as CSV."""

import csv
import io
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from resnet_cli.paper.blocks import Grid
from resnet_cli.paper.evaluations import Evaluation
from resnet_cli.paper.ours import Ours, gather, spread
from resnet_cli.paper.prose import Prose, clean
from resnet_cli.paper.published import FULL_ITERATIONS, Published, PublishedTable
from resnet_cli.paper.runs import Run, fraction

FIGURES = ("paper", "paper_mean", "paper_std", "n", "best", "mean", "std", "difference")
CSV_HEADER = ("method", "network", "error", *FIGURES, "iterations", "paper_iterations", "remarks")


@dataclass(frozen=True)
class Cell:
    """One error of one line: the paper's, its mean and std where it gives them, and ours, one
    for each seed. In percent.
    """

    paper: float | None
    mean: float | None
    std: float | None
    ours: tuple[float, ...]

    @property
    def difference(self) -> float | None:
        """Our mean minus the paper's: its mean where it gives one, else its only number."""
        paper = self.paper if self.mean is None else self.mean
        return statistics.mean(self.ours) - paper if self.ours and paper is not None else None

    @property
    def printed(self) -> str:
        """The paper's as it prints it."""
        if self.paper is None:
            return "-"
        return f"{self.paper:.2f}" + (
            f" ({self.mean:.2f} ± {self.std:.2f})" if self.mean is not None else ""
        )

    @property
    def figures(self) -> list[float | int | None]:
        """What FIGURES names: the paper's, then n, best, mean and std of ours, and the
        difference.
        """
        n = len(self.ours)
        best, mean = (min(self.ours), statistics.mean(self.ours)) if n else (None, None)
        std = statistics.stdev(self.ours) if n > 1 else None
        return [self.paper, self.mean, self.std, n, best, mean, std, self.difference]


@dataclass(frozen=True)
class Line:
    published: Published
    ours: Ours | None

    @property
    def cells(self) -> list[Cell]:
        """One for each column of the table. Only first columns come with a mean and std."""
        spreads = [(self.published.mean, self.published.std)] + [(None, None)] * (
            len(self.published.errors) - 1
        )
        measured = self.ours.errors if self.ours else ((),) * len(spreads)
        return [
            Cell(error, *several, ours)
            for error, several, ours in zip(self.published.errors, spreads, measured, strict=True)
        ]

    @property
    def missing(self) -> str:
        """What stands where we have no number: nothing in the lines of other people's methods."""
        if self.published.network is None:
            return ""
        return "not finished" if self.ours else "not run"

    @property
    def remarks(self) -> str:
        paper = f"paper: {self.published.note}" if self.published.note else ""
        return "; ".join(filter(None, [paper, self.ours.remark if self.ours else ""]))


@dataclass(frozen=True)
class Table:
    """One of the paper's tables with our numbers in it."""

    paper: PublishedTable
    lines: tuple[Line, ...]

    @property
    def has_ours(self) -> bool:
        return any(line.ours for line in self.lines)

    @property
    def title(self) -> str:
        """Its heading, which says where our schedules are not the paper's in full."""
        lengths = {line.ours.iterations for line in self.lines if line.ours}
        full = FULL_ITERATIONS[self.paper.dataset]
        extent = ""
        if lengths - {full}:
            extent = ", some of ours shortened" if full in lengths else ", ours shortened"
        return f"Table {self.paper.number}: {self.paper.title}{extent}"

    @property
    def sources(self) -> list[Prose]:
        """The commands and commits behind ours, each once."""
        return list(
            dict.fromkeys(
                source for line in self.lines if line.ours for source in line.ours.sources
            )
        )

    def grid(self) -> Grid:
        """The table for a person to read."""
        columns = [
            (f"paper's {name} %", f"ours {name} %", "difference") for name in self.paper.columns
        ]
        header = [
            "method",
            *(name for column in columns for name in column),
            "n",
            "iterations",
            "remarks",
        ]
        return Grid(header, [self.row(line) for line in self.lines])

    def row(self, line: Line) -> list[str]:
        cells = line.cells
        errors = []
        for cell in cells:
            difference = "" if cell.difference is None else f"{cell.difference:+.2f}"
            errors += [cell.printed, spread(cell.ours) if cell.ours else line.missing, difference]
        return [
            line.published.method,
            *errors,
            str(len(cells[0].ours) or ""),
            self.schedule(line.ours),
            line.remarks,
        ]

    def schedule(self, ours: Ours | None) -> str:
        """Our iterations, and which part of the paper's they are."""
        if ours is None:
            return ""
        if ours.iterations is None:
            return "several"
        return ", ".join(
            filter(None, [f"{ours.iterations:,}", fraction(self.paper.dataset, ours.iterations)])
        )

    def csv(self) -> str:
        """One line for each method and column; empty where there is nothing."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(CSV_HEADER)
        for line in self.lines:
            iterations = (
                line.ours.iterations if line.ours else None,
                FULL_ITERATIONS[self.paper.dataset],
            )
            for name, cell in zip(self.paper.columns, line.cells, strict=True):
                figures = ["" if value is None else f"{value:.4g}" for value in cell.figures]
                writer.writerow(
                    [
                        line.published.method,
                        line.published.network,
                        name,
                        *figures,
                        *iterations,
                        _as_text(line.remarks),
                    ]
                )
        return text.getvalue()


def _as_text(remarks: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    words = clean(remarks)
    return f"'{words}" if words.startswith(("=", "+", "-", "@")) else words


def make_table(
    paper: PublishedTable, runs: Sequence[Run], evaluations: Sequence[Evaluation]
) -> Table:
    """A table of the paper with ours: a line for each recipe a network was trained with for the
    whole schedule, or, where there is no such run, for each length; else one that says `not run`.
    """
    full = FULL_ITERATIONS[paper.dataset]
    lines = []
    for published in paper.lines:
        ours = gather(paper, published, runs, evaluations)
        if any(one.errors[0] for one in ours if one.iterations == full):
            ours = [one for one in ours if one.iterations == full]
        lines += [Line(published, one) for one in ours] if ours else [Line(published, None)]
    return Table(paper, tuple(lines))

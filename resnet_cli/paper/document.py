"""The report, from its first heading to its last note, as blocks."""

from collections.abc import Sequence

from resnet_cli.paper.blocks import Block, Grid, Heading, Items, Picture, Text
from resnet_cli.paper.captions import redo
from resnet_cli.paper.evaluations import Evaluation
from resnet_cli.paper.figures import Plot
from resnet_cli.paper.ours import remark_on, spread
from resnet_cli.paper.prose import Code, Prose, prose, sentences
from resnet_cli.paper.published import (
    CIFAR10_PLAIN_TEST_ERROR_READ_OFF,
    CIFAR10_TEST_ERROR,
    FULL_ITERATIONS,
)
from resnet_cli.paper.runs import TRAINING, Run, provenance, seeds_together, title_of
from resnet_cli.paper.tables import Table


def runs_table(runs: Sequence[Run]) -> Grid:
    """A row for each network and recipe, errors of the last iterate over seeds, the paper's beside
    them.

    Where a network was trained in several ways, the rows say which.
    """
    dataset = runs[0].dataset
    known = dataset == "cifar10"
    what = "validation" if runs[0].held_out == "val/error" else "test"
    header = ["network", "iterations", "seeds", "training error %", f"{what} error %"]
    rows = []
    groups = seeds_together(runs)
    # what all rows have in common stands beneath the table
    usual = common_setting(runs)
    for same in groups:
        first = same[0]
        done = [run for run in same if run.result]
        shown = done or same
        train = [value for run in shown if (value := run.last(TRAINING)) is not None]
        test = [value for run in shown if (value := run.last(run.held_out)) is not None]
        name = first.network
        if first.setting and first.setting != usual:
            name += f" ({first.setting})"
        iterations = (
            f"{first.iterations:,}"
            if done
            else f"{min(run.iteration for run in same):,} of {first.iterations:,}, running"
        )
        seeds = ", ".join(str(run.seed) for run in shown)
        cells = [
            name,
            iterations,
            seeds,
            spread(train) if train else "-",
            spread(test) if test else "-",
        ]
        rows.append(cells + [paper_error(first)] * known)
    return Grid(
        header + [f"paper's test error % ({FULL_ITERATIONS['cifar10']:,} iterations)"] * known, rows
    )


def common_setting(runs: Sequence[Run]) -> str:
    """What of all these runs is not the paper's; empty where they differ in that."""
    settings = {run.setting for run in runs}
    return settings.pop() if len(settings) == 1 else ""


def evaluations_table(evaluations: Sequence[Evaluation]) -> Grid:
    """A row for each file of resnet-eval: how it was measured, and top-1 and top-5 errors; of
    the paper's data also why it is in none of the paper's tables, where it is not.
    """
    papers = any(one.dataset in FULL_ITERATIONS for one in evaluations)
    rows = [
        [
            one.network,
            one.told,
            *(f"{one.errors[k]:.2f}" for k in ("top-1", "top-5")),
            *([remark_on(one)] * papers),
        ]
        for one in evaluations
    ]
    header = ["network", "measured", "top-1 error %", "top-5 error %"]
    return Grid(header + ["not in the paper's tables because"] * papers, rows)


def evaluated(evaluations: Sequence[Evaluation]) -> list[Block]:
    """What resnet-eval measured on one data set: of our runs, and beside them of weights whose
    training nobody knows.
    """
    known = [one for one in evaluations if all(one.members)]
    others = [one for one in evaluations if not all(one.members)]
    blocks: list[Block] = [evaluations_table(known), Text(MEASURED)] if known else []
    if others:
        blocks += [Heading("Other weights", 3), evaluations_table(others), Text(UNKNOWN)]
    return blocks


def paper_error(run: Run) -> str:
    """What the paper reports of a network on CIFAR-10."""
    if error := CIFAR10_TEST_ERROR.get(run.network):
        return f"{error:.2f}"
    read_off = CIFAR10_PLAIN_TEST_ERROR_READ_OFF.get(run.network)
    return f"about {read_off:g} (read off Fig. 6)" if read_off else "-"


ITERATES = (
    "Errors of the last iterate; of several seeds: best (mean ± std), for each column by itself."
)
UNKNOWN = prose(
    "Measured by ",
    Code("resnet-eval"),
    ", but of none of the runs above: weights of another project, or of "
    "runs that were not given to resnet-report. They count nowhere else.",
)
MEASURED = prose(
    "Measured by ", Code("resnet-eval"), "; several networks joined by + are an ensemble."
)
DIFFERENCE = (
    "Ours are errors of the last iterate; of n seeds: best (mean ± std). Difference: "
    "our mean minus the paper's mean, or its only number."
)
TEST_SERVER = (
    "The paper's are from the test server; ours, where there are any, from the images "
    "named in the remarks."
)


def report(
    runs: Sequence[Run],
    evaluations: Sequence[Evaluation],
    plots: Sequence[Plot],
    tables: Sequence[Table],
    notes: Sequence[Prose],
) -> list[Block]:
    """Our runs and what resnet-eval measured, a data set at a time; the paper's figures and
    tables; what was not run or not read.
    """
    by_name = {plot.name: plot for plot in plots}
    blocks: list[Block] = [Heading("Plain and residual networks, from our runs", 1)]
    for dataset, of in by_dataset(runs).items():
        made = [provenance(run.result) for run in of if run.result]
        plot = by_name.pop(f"degradation-{dataset}", None)
        blocks += [
            Heading(title_of(dataset)),
            *(picture(plot) if plot else []),
            runs_table(of),
            *iterates(of),
            *evaluated([one for one in evaluations if one.dataset == dataset]),
            *sources(made),
        ]
    for dataset in dict.fromkeys(
        one.dataset for one in evaluations if not any(run.dataset == one.dataset for run in runs)
    ):
        blocks += [
            Heading(title_of(dataset)),
            *evaluated([one for one in evaluations if one.dataset == dataset]),
        ]
    for plot in by_name.values():
        blocks += [Heading(plot.title), *picture(plot)]
    for table in tables:
        blocks += table_page(table) if table.has_ours else []
    if empty := [f"Table {table.paper.number}" for table in tables if not table.has_ours]:
        blocks += [
            Heading("Not run"),
            Text(f"Nothing of ours yet, the published numbers alone: {', '.join(empty)}."),
        ]
    return [*blocks, *remarks(notes)]


def iterates(runs: Sequence[Run]) -> list[Block]:
    """What the errors of a runs table are, and what of all its runs is not the paper's."""
    setting = common_setting(runs)
    return [Text(sentences(ITERATES, prose("All with ", Code(setting), ".") if setting else ""))]


def overview(runs: Sequence[Run], notes: Sequence[Prose]) -> list[Block]:
    """What the terminal shows of it."""
    blocks: list[Block] = []
    for dataset, of in by_dataset(runs).items():
        blocks += [Heading(title_of(dataset)), runs_table(of), *iterates(of)]
    return [*blocks, *remarks(notes)]


def table_page(table: Table) -> list[Block]:
    """A table with its title above, and what made ours beneath."""
    explained: list[Block] = [
        Text(DIFFERENCE),
        *([Text(TEST_SERVER)] if table.paper.ensemble else []),
    ]
    number, views = table.paper.number, table.paper.views
    command = f"resnet-eval --ckpt RUN --views {views} --bn population --json RUN/{views}.json"
    measure = prose("Between them ", Code(command), " of each run.") if views else ""
    heading = Heading(table.title)
    return [
        heading,
        table.grid(),
        *explained,
        *sources(table.sources),
        Text(sentences(redo(f"table{number}", table.paper.dataset), measure)),
    ]


def by_dataset(runs: Sequence[Run]) -> dict[str, list[Run]]:
    return {
        dataset: [run for run in runs if run.dataset == dataset]
        for dataset in dict.fromkeys(run.dataset for run in runs)
    }


def picture(plot: Plot) -> list[Block]:
    verdicts = [Items([verdict.words for verdict in plot.verdicts])] if plot.verdicts else []
    return [*verdicts, Picture(plot.name, plot.title), Text(plot.caption)]


def sources(lines: Sequence[Prose]) -> list[Block]:
    """The commands and commits beneath a table, each once."""
    return [Text("Commands and commits:"), Items(list(dict.fromkeys(lines)))] if lines else []


def remarks(notes: Sequence[Prose]) -> list[Block]:
    return [Heading("Notes"), Items(notes)] if notes else []

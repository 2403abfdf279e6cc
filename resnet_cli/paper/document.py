"""The report, from its first heading to its last note, as blocks."""

from collections.abc import Sequence

from resnet_cli.paper.blocks import Block, Folded, Heading, Items, Picture, Text, Words
from resnet_cli.paper.captions import redo
from resnet_cli.paper.evaluations import Evaluation
from resnet_cli.paper.our_tables import common_setting, evaluations_table, runs_table
from resnet_cli.paper.plot import Plot
from resnet_cli.paper.prose import Code, Prose, prose, sentences
from resnet_cli.paper.published import FULL_ITERATIONS
from resnet_cli.paper.runs import Run, provenance, title_of
from resnet_cli.paper.tables import Table

_TITLE = "Plain and residual networks, from our runs"
_ITERATES = (
    "Errors of the last iterate; of several seeds: best (mean ± std), for each column by itself."
)
_UNKNOWN = prose(
    "Measured by ",
    Code("resnet-eval"),
    ", but of none of the runs above: weights of another project, or of runs that were not given "
    "to resnet-report. They count nowhere else.",
)
_MEASURED = prose(
    "Measured by ", Code("resnet-eval"), "; several networks joined by + are an ensemble."
)
_DIFFERENCE = (
    "Ours are errors of the last iterate; of n seeds: best (mean ± std). Difference: "
    "our mean minus the paper's mean, or its only number."
)
_TEST_SERVER = (
    "The paper's are from the test server; ours, where there are any, from the images "
    "named in the remarks."
)


def report(
    runs: Sequence[Run],
    evaluations: Sequence[Evaluation],
    plots: Sequence[Plot],
    tables: Sequence[Table],
    notes: Sequence[Prose],
    chapters: Sequence[Block] = (),
) -> list[Block]:
    """What the numbers say; then a data set at a time, those of the paper first, its figures and
    tables, our runs and what resnet-eval measured; further chapters; what was not run or not read.
    """
    blocks: list[Block] = [Heading(_TITLE, 1), *summary(plots)]
    for dataset in datasets_of(runs, evaluations):
        blocks.append(Heading(title_of(dataset)))
        for plot in plots:
            blocks += _figure(plot) if plot.dataset == dataset else []
        for table in tables:
            if table.has_ours and table.paper.dataset == dataset:
                blocks += table_page(table, level=3)
        blocks += _runs([run for run in runs if run.dataset == dataset])
        blocks += _evaluated([one for one in evaluations if one.dataset == dataset])
    blocks += chapters
    if empty := [table for table in tables if not table.has_ours]:
        blocks.append(Heading("Not run"))
        blocks.append(Text("Of these tables there is nothing of ours yet."))
        for table in empty:
            blocks.append(Folded(table.title, table_page(table, level=3)))
    return [*blocks, *_remarks(notes)]


def overview(runs: Sequence[Run], plots: Sequence[Plot], notes: Sequence[Prose]) -> list[Block]:
    """What the terminal shows of it."""
    blocks = summary(plots)
    for dataset in datasets_of(runs, []):
        of = [run for run in runs if run.dataset == dataset]
        blocks += [Heading(title_of(dataset)), runs_table(of), *_iterates(of)]
    return [*blocks, *_remarks(notes)]


def summary(plots: Sequence[Plot]) -> list[Block]:
    """The verdicts of all figures, each once."""
    found: dict[tuple[str, str], Words] = {}
    for plot in plots:
        for verdict in plot.verdicts:
            words = f"{plot.short_title}: {verdict.words}"
            found.setdefault((plot.dataset, verdict.words), words)
    lines = list(found.values())
    return [Heading("What the runs say"), Items(lines)] if lines else []


def datasets_of(runs: Sequence[Run], evaluations: Sequence[Evaluation]) -> list[str]:
    """The data sets there is something of, the paper's first."""
    there = {run.dataset for run in runs} | {one.dataset for one in evaluations}
    return sorted(there, key=lambda name: (name not in FULL_ITERATIONS, name))


def _figure(plot: Plot) -> list[Block]:
    verdicts: list[Block] = []
    if plot.verdicts:
        verdicts = [Items([verdict.words for verdict in plot.verdicts])]
    return [
        Heading(plot.title, 3),
        *verdicts,
        Picture(plot.name, plot.title),
        Text(plot.caption),
    ]


def table_page(table: Table, *, level: int = 2) -> list[Block]:
    """A table with its title above, and what made ours beneath."""
    number, views = table.paper.number, table.paper.views
    command = f"resnet-eval --ckpt RUN --views {views} --bn population --json RUN/{views}.json"
    between = prose("Between them ", Code(command), " of each run.") if views else ""
    return [
        Heading(table.title, level),
        table.grid(),
        Text(_DIFFERENCE),
        *([Text(_TEST_SERVER)] if table.paper.ensemble else []),
        *_sources(table.sources),
        Text(sentences(redo(f"table{number}", table.paper.dataset), between)),
    ]


def _runs(runs: Sequence[Run]) -> list[Block]:
    """The runs of one data set, and what made them."""
    if not runs:
        return []
    made = [provenance(run.result) for run in runs if run.result]
    return [Heading("Runs", 3), runs_table(runs), *_iterates(runs), *_sources(made)]


def _iterates(runs: Sequence[Run]) -> list[Block]:
    """What the errors of a runs table are, and what of all its runs is not the paper's."""
    setting = common_setting(runs)
    return [Text(sentences(_ITERATES, prose("All with ", Code(setting), ".") if setting else ""))]


def _evaluated(evaluations: Sequence[Evaluation]) -> list[Block]:
    """What resnet-eval measured on one data set: of our runs, and beside them of weights whose
    training nobody knows.
    """
    known = [one for one in evaluations if all(one.members)]
    others = [one for one in evaluations if not all(one.members)]
    blocks: list[Block] = []
    if known:
        blocks += [Heading("Evaluations", 3), evaluations_table(known), Text(_MEASURED)]
    if others:
        blocks += [Heading("Other weights", 3), evaluations_table(others), Text(_UNKNOWN)]
    return blocks


def _sources(lines: Sequence[Prose]) -> list[Block]:
    """The commands and commits beneath a table, each once."""
    if not lines:
        return []
    return [Folded("Commands and commits", [Items(list(dict.fromkeys(lines)))])]


def _remarks(notes: Sequence[Prose]) -> list[Block]:
    return [Heading("Notes"), Items(notes)] if notes else []

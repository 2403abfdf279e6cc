"""The report, from its first heading to its last note, as blocks."""

from collections import Counter
from collections.abc import Sequence

from resnet_cli.paper.blocks import Block, Folded, Grid, Heading, Items, Picture, Text, Words
from resnet_cli.paper.captions import redo
from resnet_cli.paper.evaluations import Evaluation
from resnet_cli.paper.ours import remark_on, spread
from resnet_cli.paper.plot import Plot
from resnet_cli.paper.prose import Code, Prose, prose, sentences
from resnet_cli.paper.published import (
    CIFAR10_PLAIN_TEST_ERROR_READ_OFF,
    CIFAR10_TEST_ERROR,
    FULL_ITERATIONS,
)
from resnet_cli.paper.runs import TRAINING, Run, provenance, seeds_together, spoken, title_of
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


def runs_table(runs: Sequence[Run]) -> Grid:
    """A row for each network and recipe, errors of the last iterate over seeds, the paper's beside
    them; where rows differ in their settings, or in nothing but their precision, they say which.
    """
    known = runs[0].dataset == "cifar10"
    what = "validation" if runs[0].held_out == "val/error" else "test"
    header = ["network", "iterations", "seeds", "training error %", f"{what} error %"]
    usual = _common_setting(runs)
    groups = seeds_together(runs)
    names = [_name(same[0], usual) for same in groups]
    alike = Counter((name, same[0].iterations) for name, same in zip(names, groups, strict=True))
    rows: list[list[Words]] = []
    for name, same in zip(names, groups, strict=True):
        first = same[0]
        if alike[name, first.iterations] > 1 and first.precision:
            name = f"{name}, {first.precision}"
        rows.append([name, *_row(same), *([_paper_error(first)] if known else [])])
    papers = f"paper's test error % ({FULL_ITERATIONS['cifar10']:,} iterations)"
    return Grid([*header, *([papers] if known else [])], rows)


def _name(run: Run, usual: str) -> str:
    """The network, and its settings where they are not `usual`."""
    differs = run.setting and run.setting != usual
    return spoken(run.network) + (f" ({run.setting})" if differs else "")


def _row(same: Sequence[Run]) -> list[Words]:
    """The other cells of one network and recipe: of its finished seeds, where there are any."""
    first = same[0]
    done = [run for run in same if run.result]
    shown = done or same
    train = [value for run in shown if (value := run.last(TRAINING)) is not None]
    test = [value for run in shown if (value := run.last(run.held_out)) is not None]
    iterations = f"{first.iterations:,}"
    if not done:
        reached = min(run.iteration for run in same)
        states = " or ".join(sorted({run.state for run in same}))
        iterations = f"{reached:,} of {first.iterations:,}, {states}"
    return [
        iterations,
        ", ".join(str(run.seed) for run in shown),
        spread(train) if train else "-",
        spread(test) if test else "-",
    ]


def _common_setting(runs: Sequence[Run]) -> str:
    """What of all these runs is not the paper's; empty where they differ in that."""
    settings = {run.setting for run in runs}
    return settings.pop() if len(settings) == 1 else ""


def _iterates(runs: Sequence[Run]) -> list[Block]:
    """What the errors of a runs table are, and what of all its runs is not the paper's."""
    setting = _common_setting(runs)
    return [Text(sentences(_ITERATES, prose("All with ", Code(setting), ".") if setting else ""))]


def _paper_error(run: Run) -> str:
    """What the paper reports of a network on CIFAR-10."""
    if error := CIFAR10_TEST_ERROR.get(run.network):
        return f"{error:.2f}"
    read_off = CIFAR10_PLAIN_TEST_ERROR_READ_OFF.get(run.network)
    return f"about {read_off:g} (read off Fig. 6)" if read_off else "-"


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


def evaluations_table(evaluations: Sequence[Evaluation]) -> Grid:
    """A row for each file of resnet-eval: of which runs, where they are known; how it was
    measured, and top-1 and top-5 errors; of the paper's data also why it is in none of the
    paper's tables, where it is not.
    """
    papers = any(one.dataset in FULL_ITERATIONS for one in evaluations)
    known = all(all(one.members) for one in evaluations)
    usual = _common_setting([run for one in evaluations for run in one.members if run])
    header = ["network", *(["trained"] if known else []), "measured"]
    rows: list[list[Words]] = [
        [
            one.network,
            *([_trained(one, usual)] if known else []),
            one.told,
            *(f"{one.errors[k]:.2f}" if k in one.errors else "-" for k in ("top-1", "top-5")),
            *([remark_on(one)] if papers else []),
        ]
        for one in evaluations
    ]
    header += ["top-1 error %", "top-5 error %"]
    return Grid([*header, *(["not in the paper's tables because"] if papers else [])], rows)


def _trained(evaluation: Evaluation, usual: str) -> str:
    """What sets the runs of one network apart: seed, length and settings that are not `usual`."""
    runs = [run for run in evaluation.members if run]
    told = [
        f"seed {run.seed}, {run.iterations:,} iterations"
        + (f" ({run.setting})" if run.setting and run.setting != usual else "")
        for run in runs
    ]
    return " + ".join(dict.fromkeys(told))


def _sources(lines: Sequence[Prose]) -> list[Block]:
    """The commands and commits beneath a table, each once."""
    if not lines:
        return []
    return [Folded("Commands and commits", [Items(list(dict.fromkeys(lines)))])]


def _remarks(notes: Sequence[Prose]) -> list[Block]:
    return [Heading("Notes"), Items(notes)] if notes else []

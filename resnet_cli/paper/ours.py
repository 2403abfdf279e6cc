"""What we measured, gathered for a line of a table: seeds of one recipe together, from run
folders or from resnet-eval's files.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from resnet_cli.paper.evaluations import Evaluation
from resnet_cli.paper.prose import Code, Prose, listed, prose
from resnet_cli.paper.published import ENSEMBLE, TABLES, Published, PublishedTable
from resnet_cli.paper.recipe import is_sound
from resnet_cli.paper.runs import Run, provenance, seeds_together


@dataclass(frozen=True, kw_only=True)
class Ours:
    """What we measured of one network and recipe.

    Errors in percent, one tuple for each column, in it one for each seed.
    """

    errors: tuple[tuple[float, ...], ...]
    iterations: int | None  # of the schedule; None for an ensemble of several lengths
    remark: str
    sources: tuple[Prose, ...]  # commands and commits


def spread(values: Sequence[float]) -> str:
    """One value, or the paper's `best (mean ± std)` of several; std is the sample's."""
    if len(values) == 1:
        return f"{values[0]:.2f}"
    return f"{min(values):.2f} ({statistics.mean(values):.2f} ± {statistics.stdev(values):.2f})"


def gather(
    paper: PublishedTable,
    published: Published,
    runs: Sequence[Run],
    evaluations: Sequence[Evaluation],
) -> list[Ours]:
    """Ours for one line: one for each length and recipe the network was trained with, the
    longest first.
    """
    if paper.views is None:
        return _of_runs(
            [
                run
                for run in runs
                if run.dataset == paper.dataset and run.network == published.network
            ]
        )
    measured = [
        one
        for one in evaluations
        if (ENSEMBLE if len(one.checkpoints) > 1 else one.network) == published.network
        and not _why_left_out(one, paper)
    ]
    return _of_evaluations(paper, measured)


def _of_runs(runs: Sequence[Run]) -> list[Ours]:
    """The last iterate's error of every finished run of the paper's recipe; seeds together."""
    found = []
    for same in seeds_together([run for run in runs if not run.deviations]):
        done = [run for run in same if run.result]
        values = tuple(value for run in done if (value := run.last(run.held_out)) is not None)
        remarks = [
            same[0].setting,
            same[0].precision,
            _best_iterate(done),
            *(_unfinished(run) for run in same if not run.result),
        ]
        found.append(
            Ours(
                errors=(values,),
                iterations=same[0].iterations,
                remark="; ".join(filter(None, remarks)),
                sources=tuple(provenance(run.result) for run in done if run.result),
            )
        )
    return found


def _best_iterate(done: Sequence[Run]) -> str:
    """What the best iterate would give, and that it was chosen on the very images, where it was."""
    best = [one for run in done if (one := run.at_best())]
    if not best:
        return ""
    return (
        f"best iterate {spread([error for error, _ in best])}, chosen on "
        f"{' and '.join(sorted({on for _, on in best}))}"
    )


def _unfinished(run: Run) -> str:
    newest = run.last(run.held_out)
    return f"seed {run.seed} {run.state} at {run.iteration:,} of {run.iterations:,}" + (
        f", {newest:.2f} there" if newest is not None else ""
    )


def _why_left_out(one: Evaluation, paper: PublishedTable) -> str:
    """Why an evaluation is in no line of a table; empty where it may be in one.

    A table of the paper takes whole runs of its recipe, tested on all the images and at all the
    scales that the paper tested on.
    """
    reasons = [
        "" if one.dataset == paper.dataset else f"on {one.dataset}",
        "" if one.views == paper.views else f"views: {one.views}",
        "" if one.split != "train" else "on training images",
        *one.doubts,
        ""
        if one.count == paper.images
        else f"{one.count:,} of the paper's {paper.images or 0:,} images",
        ""
        if not paper.scales or one.scales == paper.scales
        else f"scales other than {', '.join(map(str, paper.scales))}",
        "" if is_sound(one.precision) else f"measured in {one.precision or 'unknown'}",
    ]
    return "; ".join(filter(None, reasons))


def remark_on(one: Evaluation) -> str:
    """Why an evaluation is in none of the paper's tables; empty where it is in one."""
    tables = [
        table for table in TABLES if table.dataset == one.dataset and table.views == one.views
    ]
    if not tables:
        return f"the paper has no table of {one.views} views on this data"
    lines = {line.network for table in tables for line in table.lines}
    if len(one.checkpoints) == 1 and one.network not in lines:
        return "; ".join(filter(None, ["not in the paper", *one.doubts]))
    return _why_left_out(one, tables[0])


def _files(one: Evaluation) -> Prose:
    return listed([Code(str(path)) for path in one.checkpoints])


def _of_evaluations(paper: PublishedTable, evaluations: Sequence[Evaluation]) -> list[Ours]:
    """Evaluations of networks that differ by seed alone together; ensembles each for itself."""

    def alike(one: Evaluation) -> tuple[int, list[str], str]:
        runs = [run for run in one.members if run]
        longest_first = -max(run.iterations for run in runs)
        recipes = [f"{run.recipe} {run.precision}" for run in runs]
        return longest_first, recipes, f"{one.network}: {one.told}" if paper.ensemble else one.told

    def seeds(one: Evaluation) -> tuple[int, ...]:
        return tuple(run.seed for run in one.members if run)

    found = []
    for (iterations, _, told), group in groupby(sorted(evaluations, key=alike), key=alike):
        same = list({seeds(one): one for one in group}.values())  # a seed counts once
        runs = [run for one in same for run in one.members if run]
        settings = [f"{run.setting}, trained in {run.precision}".strip(", ") for run in runs]
        sources = [provenance(run.result) for run in runs if run.result] + [
            prose(Code(one.path.name), ": resnet-eval of ", _files(one)) for one in same
        ]
        lengths = {run.iterations for run in runs}
        found.append(
            Ours(
                errors=tuple(tuple(one.errors[column] for one in same) for column in paper.columns),
                iterations=-iterations if len(lengths) == 1 else None,
                remark="; ".join([told, *dict.fromkeys(settings)]),
                sources=tuple(sources),
            )
        )
    return found

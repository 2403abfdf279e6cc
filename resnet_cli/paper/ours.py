"""What we measured, gathered for a line of a table: seeds of one recipe together, from run
folders or from resnet-eval's files.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from resnet_cli.paper.evaluations import Evaluation
from resnet_cli.paper.published import ENSEMBLE, Published, PublishedTable
from resnet_cli.paper.runs import Run, provenance


@dataclass(frozen=True)
class Ours:
    """What we measured of one network and recipe.

    Errors in percent, one tuple for each column, in it one for each seed.
    """

    errors: tuple[tuple[float, ...], ...]
    iterations: int | None  # of the schedule; None where an evaluation's run is not known
    remark: str
    sources: tuple[str, ...]  # commands and commits


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
        return of_runs(
            [
                run
                for run in runs
                if run.dataset == paper.dataset and run.network == published.network
            ]
        )
    return of_evaluations(paper, [one for one in evaluations if fits(one, paper, published)])


def of_runs(runs: Sequence[Run]) -> list[Ours]:
    """The last iterate's error of every finished run of the paper's recipe; seeds together."""
    found = []
    same_recipe = [
        list(group)
        for _, group in groupby(
            (run for run in runs if not run.deviations), key=lambda run: run.recipe
        )
    ]
    for same in same_recipe:
        done = [run for run in same if run.result]
        values = tuple(value for run in done if (value := run.last(run.held_out)) is not None)
        remarks = [best_iterate(done)] + [running(run) for run in same if not run.result]
        if len(same_recipe) > 1 and same[0].setting:
            remarks.insert(0, same[0].setting)
        sources = tuple(provenance(run.result) for run in done if run.result)
        found.append(Ours((values,), same[0].iterations, "; ".join(filter(None, remarks)), sources))
    return found


def best_iterate(done: Sequence[Run]) -> str:
    """What the best iterate would give, and that it was chosen on the very images, where it was."""
    best = [one for run in done if (one := run.at_best())]
    if not best:
        return ""
    return (
        f"best iterate {spread([error for error, _ in best])}, chosen on "
        f"{' and '.join(sorted({on for _, on in best}))}"
    )


def running(run: Run) -> str:
    newest = run.last(run.held_out)
    return f"seed {run.seed} at {run.iteration:,} of {run.iterations:,}" + (
        f", {newest:.2f} there" if newest is not None else ""
    )


def fits(one: Evaluation, paper: PublishedTable, published: Published) -> bool:
    """Whether an evaluation belongs in a line: same data, same views, the paper's recipe, and
    an ensemble where one is asked for.
    """
    network = ENSEMBLE if len(one.checkpoints) > 1 else one.network
    deviates = any(run.deviations for run in one.runs) or one.split == "train"
    return (one.dataset, one.views, network) == (
        paper.dataset,
        paper.views,
        published.network,
    ) and not deviates


def of_evaluations(paper: PublishedTable, evaluations: Sequence[Evaluation]) -> list[Ours]:
    """Evaluations of networks that differ by seed alone together; ensembles each for itself.

    A checkpoint counts once in each way.
    """
    evaluations = list(
        {(one.told, one.network, one.checkpoints): one for one in evaluations}.values()
    )

    def kind(one: Evaluation) -> tuple[int, str, str]:
        longest_first, recipe = (-one.run.iterations, one.run.recipe) if one.run else (0, "")
        return longest_first, recipe, f"{one.network}: {one.told}" if paper.ensemble else one.told

    found = []
    for (iterations, _, remark), group in groupby(sorted(evaluations, key=kind), key=kind):
        same = list(group)
        trained = [provenance(one.run.result) for one in same if one.run and one.run.result]
        measured = [
            f"`{one.path.name}`: resnet-eval of {', '.join(map(str, one.checkpoints))}"
            for one in same
        ]
        errors = tuple(tuple(one.errors[column] for one in same) for column in paper.columns)
        found.append(Ours(errors, -iterations or None, remark, (*trained, *measured)))
    return found

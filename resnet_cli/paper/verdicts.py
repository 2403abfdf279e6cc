"""What the numbers say of the paper's claims, in words and no more than they can.

One seed of a shortened schedule may end anywhere, so of such runs only the order is told, never by
how much.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from resnet_cli.paper.published import CIFAR10_SEED_STD, FULL_ITERATIONS
from resnet_cli.paper.runs import TRAINING, Run, fraction, spoken

_ALIKE = 0.05  # responses that differ by less, of each other, are called alike


class Outcome(StrEnum):
    """How a claim of the paper fared."""

    holds = "as in the paper"
    fails = "not as in the paper"
    open = "undecided"


_RESPOND = {
    Outcome.holds: "less than",
    Outcome.fails: "more than",
    Outcome.open: "about as much as",
}


class Claim(StrEnum):
    """On which side of another the paper has a number."""

    above = "above"
    below = "below"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One claim of the paper, tested on our numbers."""

    words: str
    outcome: Outcome


Seeds = Mapping[str, Sequence[Run]]  # a network's finished runs, which differ by seed alone


def degrades(seeds: Seeds, figure: str) -> list[Verdict]:
    """Whether the deepest plain network has a larger `figure` than the shallowest one."""
    found = _ends(seeds, plain=True)
    return (
        _compared(seeds, *found, figure, claim=Claim.above, meaning="degradation") if found else []
    )


def improves(seeds: Seeds, figure: str) -> list[Verdict]:
    """Whether the deepest residual network has a smaller `figure` than the shallowest one."""
    found = _ends(seeds, plain=False)
    if not found:
        return []
    return _compared(seeds, *found, figure, claim=Claim.below, meaning="deeper is better")


def cures(seeds: Seeds, figure: str) -> list[Verdict]:
    """Whether at the largest depth of both, shortcuts lower the `figure`.

    Degradation is cured where more layers do no harm with shortcuts. Where they still do, it is
    reduced.
    """
    plain = {runs[0].depth: name for name, runs in seeds.items() if runs[0].is_plain}
    residual = {runs[0].depth: name for name, runs in seeds.items() if not runs[0].is_plain}
    depths = plain.keys() & residual.keys()
    if not depths:
        return []
    deepest = max(depths)
    still = any(verdict.outcome is Outcome.fails for verdict in improves(seeds, figure))
    meaning = f"shortcuts {'reduce' if still else 'cure'} it" if deepest > min(plain) else ""
    pair = residual[deepest], plain[deepest]
    return _compared(seeds, *pair, figure, claim=Claim.below, meaning=meaning)


def _ends(seeds: Seeds, *, plain: bool) -> tuple[str, str] | None:
    """The deepest and the shallowest of a kind. The paper's 1202 layers, which over-fit, belong to
    another claim.
    """
    names = [
        name for name, (run, *_) in seeds.items() if run.is_plain == plain and run.depth < 1000
    ]
    names.sort(key=lambda name: seeds[name][0].depth)
    if not names or seeds[names[0]][0].depth == seeds[names[-1]][0].depth:
        return None
    return names[-1], names[0]


def _compared(
    seeds: Seeds, one: str, other: str, figure: str, *, claim: Claim, meaning: str
) -> list[Verdict]:
    """One network against another, in a sentence; nothing where one has no such `figure`."""
    values = [_last(seeds[name], figure) for name in (one, other)]
    if not all(values):
        return []
    run = seeds[one][0]
    what = {TRAINING: "Training error", "val/error": "Validation error"}.get(figure, "Test error")
    difference = statistics.mean(values[0]) - statistics.mean(values[1])
    single = any(len(of) == 1 for of in values)
    short = run.iterations != FULL_ITERATIONS.get(run.dataset)
    size = "" if single and short else f" by {abs(difference):.1f} points"
    counts = _counts([len(of) for of in values])
    if abs(difference) <= margin(*values):
        outcome = Outcome.open
        pair = f"{spoken(one)} and {spoken(other)}"
        said = f"{what}s of {pair} differ{size or ' little'}, no more than seeds may"
    else:
        side = Claim.above if difference > 0 else Claim.below
        outcome = Outcome.holds if side == claim else Outcome.fails
        said = f"{what} of {spoken(one)} is {side} {spoken(other)}'s{size}"
    means = f"{meaning}, " if meaning and outcome is Outcome.holds else ""
    words = f"{said}: {means}{outcome}; {_extent(run)}{counts}."
    return [Verdict(words=words, outcome=outcome)]


def _last(runs: Sequence[Run], figure: str) -> list[float]:
    return [value for run in runs if (value := run.last(figure)) is not None]


def margin(one: Sequence[float], other: Sequence[float]) -> float:
    """What the means of two networks' seeds may differ by without meaning, in points: two standard
    errors of the difference.

    The spread is that of a network's own seeds, but no less than the paper's five runs have
    (Table 6): one seed has none to show, and two may agree by chance.
    """
    return 2 * math.sqrt(_variance(one) / len(one) + _variance(other) / len(other))


def _variance(seeds: Sequence[float]) -> float:
    own = statistics.variance(seeds) if len(seeds) > 1 else 0.0
    return max(own, CIFAR10_SEED_STD**2)


def _extent(run: Run) -> str:
    """`1/16 of the schedule, ` where that is not whole."""
    part = fraction(run.dataset, run.iterations).partition(" of ")[0]
    return f"{part} of the schedule, " if part else ""


def _counts(counts: Sequence[int]) -> str:
    if len(set(counts)) > 1:
        return f"{counts[0]} and {counts[1]} seeds"
    return "one seed each" if counts[0] == 1 else f"{counts[0]} seeds each"


def responds_less(measured: Sequence[tuple[Run, Sequence[float]]]) -> list[Verdict]:
    """Fig. 7: residual layers respond less than plain ones, and the deeper the network the less."""
    medians = {run.network: (run, statistics.median(std)) for run, std in measured}
    plain = {run.depth: name for name, (run, _) in medians.items() if run.is_plain}
    residual = {run.depth: name for name, (run, _) in medians.items() if not run.is_plain}
    pairs = [(residual[depth], plain[depth]) for depth in sorted(plain.keys() & residual.keys())]
    if len(residual) > 1:
        pairs.append((residual[max(residual)], residual[min(residual)]))
    found = []
    for one, other in pairs:
        (run, ours), (_, theirs) = medians[one], medians[other]
        outcome = Outcome.holds if ours < theirs else Outcome.fails
        if abs(ours - theirs) <= _ALIKE * theirs:
            outcome = Outcome.open
        words = (
            f"Layers of {spoken(one)} respond {_RESPOND[outcome]} {spoken(other)}'s (median std "
            f"{ours:.2f} and {theirs:.2f}): {outcome}; {_extent(run)}{_counts([1, 1])}."
        )
        found.append(Verdict(words=words, outcome=outcome))
    return found

"""Figure 7 as data: the std of each 3x3 layer's response, in layer order above, sorted below."""

import statistics
from collections.abc import Sequence

from resnet_cli.config.experiments import networks
from resnet_cli.paper import captions
from resnet_cli.paper.figures import together
from resnet_cli.paper.plot import Curve, Panel, Plot
from resnet_cli.paper.prose import Prose, Span, sentences
from resnet_cli.paper.runs import Run, spoken
from resnet_cli.paper.verdicts import responds_less

_DATASET = "cifar10"


def to_measure(runs: Sequence[Run]) -> list[Run]:
    """Of runs that can be measured, those the figure shows: one seed of each network."""
    first: dict[str, Run] = {}
    for run in together(runs, networks("figure7"), _DATASET):
        first.setdefault(run.network, run)
    return list(first.values())


def figure7(measured: Sequence[tuple[Run, Sequence[float]]], *, images: int) -> Plot | None:
    """The figure from the stds of each run's layers, over `images` test images; None where
    nothing was measured.
    """
    if not measured:
        return None
    panels = []
    for title, falling in (("by layer", False), ("sorted", True)):
        curves = tuple(
            Curve(
                label=spoken(run.network),
                depth=run.depth,
                bold=not run.is_plain,
                x=range(1, len(std) + 1),
                y=sorted(std, reverse=True) if falling else list(std),
            )
            for run, std in measured
        )
        panels.append(Panel(title=title, curves=curves))
    runs = [run for run, _ in measured]
    caption: list[Span | Prose] = [
        captions.opening(runs),
        "Std of the output of each 3x3 layer after BN and before ReLU and addition, over all "
        f"channels and positions of {images:,} test images. Dashed: plain. Bold: residual.",
        captions.missing(networks("figure7"), runs, verb="Not measured at this length"),
        captions.redo("figure7", _DATASET, runs[0].iterations),
    ]
    values = [value for _, std in measured for value in std]
    # the paper's are all below 3, on a linear axis
    log = max(values) > 5 * statistics.median(values)
    return Plot(
        name="figure7",
        dataset=_DATASET,
        title="Figure 7: responses of the layers on CIFAR-10" + captions.shortened(runs[0]),
        caption=sentences(*caption),
        panels=tuple(panels),
        runs=tuple(runs),
        verdicts=tuple(responds_less(measured)),
        x_label="layer",
        y_label="std of the response" + (", log scale" if log else ""),
        styles=("plain", "residual"),
        stacked=True,
        log=log,
    )

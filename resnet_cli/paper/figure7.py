"""Figure 7 as data: the std of each 3x3 layer's response, in layer order above, sorted below."""

import statistics
from collections.abc import Sequence

from resnet_cli.paper.captions import extent, opening, redo
from resnet_cli.paper.experiments import networks
from resnet_cli.paper.figures import Curve, Panel, Plot, together
from resnet_cli.paper.prose import Prose, Span, sentences
from resnet_cli.paper.runs import Run

NETWORKS = networks("figure7")
DATASET = "cifar10"


def to_measure(runs: Sequence[Run]) -> list[Run]:
    """Of runs that can be measured, those the figure shows."""
    return together(runs, NETWORKS, DATASET)


def figure7(measured: Sequence[tuple[Run, Sequence[float]]], *, images: int) -> Plot | None:
    """The figure from the stds of each run's layers, over `images` test images; None where
    nothing was measured.
    """
    if not measured:
        return None
    panels = []
    for title, falling in (("by layer", False), ("sorted", True)):
        shown = [
            (run, sorted(std, reverse=True) if falling else list(std)) for run, std in measured
        ]
        curves = [
            Curve(run.network, run.depth, not run.is_plain, list(range(1, len(std) + 1)), std)
            for run, std in shown
        ]
        panels.append(Panel(title, tuple(curves)))
    runs = [run for run, _ in measured]
    missing = [name for name in NETWORKS if name not in {run.network for run in runs}]
    caption: list[Span | Prose] = [
        opening(runs),
        "Std of the output of each 3x3 layer after BN and before ReLU and addition, over all "
        "channels and positions"
        f" of {images:,} test images. Dashed: plain. Bold: residual.",
        f"Not measured at this length: {', '.join(missing)}." if missing else "",
        redo("figure7", DATASET, runs[0].iterations),
    ]
    values = [value for _, std in measured for value in std]
    # the paper's are all below 3, on a linear axis
    log = max(values) > 5 * statistics.median(values)
    return Plot(
        "figure7",
        DATASET,
        f"Figure 7: responses of the layers on CIFAR-10, {extent(runs[0])}",
        sentences(*caption),
        tuple(panels),
        "layer",
        "std of the response" + (", log scale" if log else ""),
        styles=("plain", "residual"),
        stacked=True,
        log=log,
    )

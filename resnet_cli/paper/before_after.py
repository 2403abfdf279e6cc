"""The report's chapter "Before and after": ILSVRC, the error against depth, and what followed."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from resnet_cli.paper.blocks import Block, Grid, Heading, Picture, Text, Words
from resnet_cli.paper.history import LATER, WINNERS, Later, LaterTable
from resnet_cli.paper.ours import spread
from resnet_cli.paper.published import CIFAR10_TEST_ERROR, FULL_ITERATIONS
from resnet_cli.paper.runs import Run
from resnet_cli.paper.why.style import GREY, dress, ink, save

NAME = "depth"
_TITLE = "Before and after"
_BLUE, _RED, _GREEN = "#0072B2", "#D55E00", "#009E73"


def chapter(runs: Sequence[Run]) -> list[Block]:
    """Everything as published; ours, from runs of full length, beside it where there are any."""
    blocks: list[Block] = [
        Heading(_TITLE),
        Text("As published, each by its authors' own rules; ours where they were run in full."),
        Heading("ILSVRC classification", 3),
        _winners(),
        Picture(NAME, "Error against depth"),
        Text(
            "Left: the entries above that are networks, top-5 error on the test server. Right: "
            "CIFAR-10, one network a dot, and our runs of full length, if any, as crosses."
        ),
    ]
    for table in LATER:
        blocks += [
            Heading(table.title, 3),
            _later(table, runs),
            Text(f"Published: {table.source}."),
        ]
    return blocks


def _winners() -> Grid:
    header = ["year", "entry", "layers", "top-5 error %", "source", "remarks"]
    rows: list[list[Words]] = [
        [
            str(one.year),
            one.name,
            "no network" if one.layers is None else str(one.layers),
            f"{one.top5:g}",
            one.source,
            one.remark,
        ]
        for one in WINNERS
    ]
    return Grid(header, rows)


def _later(table: LaterTable, runs: Sequence[Run]) -> Grid:
    more = [table.other] if table.other else []
    sized = any(one.parameters for one in table.lines)
    header = ["network", *(["parameters (M)"] if sized else []), table.column, *more, "ours"]
    rows: list[list[Words]] = []
    for one in table.lines:
        size = [f"{one.parameters:g}" if one.parameters else "-"] if sized else []
        other = [f"{one.other:.{table.digits}f}"] if one.other is not None else []
        errors = [error for _, error in _ours(one, table.dataset, runs)]
        rows.append(
            [
                one.name,
                *size,
                f"{one.error:.{table.digits}f}",
                *other,
                spread(errors) if errors else "not run",
            ]
        )
    return Grid(header, rows)


def _ours(line: Later, dataset: str, runs: Sequence[Run]) -> list[tuple[int, float]]:
    """Depth and held-out error of every seed that was run in full."""
    return [
        (run.depth, error)
        for run in _full(runs, dataset)
        if line.ours in (run.network, run.network.split("-")[0])
        and (error := run.last(run.held_out)) is not None
    ]


def _full(runs: Sequence[Run], dataset: str) -> list[Run]:
    return [
        run
        for run in runs
        if run.result and run.dataset == dataset and run.iterations >= FULL_ITERATIONS[dataset]
    ]


def draw(runs: Sequence[Run], folder: Path, *, formats: Sequence[str]) -> list[Path]:
    """Writes depth.png ... into `folder`."""
    return save(NAME, lambda: _figure(runs), folder, formats)


def _figure(runs: Sequence[Run]) -> Figure:
    sheet = Figure(figsize=(12, 4.4), layout="constrained")
    left, right = sheet.subplots(1, 2)
    deep = [one for one in WINNERS if one.layers]
    left.plot(
        [one.layers for one in deep],
        [one.top5 for one in deep],
        linestyle="",
        marker="o",
        color=_BLUE,
    )
    for one in deep:
        assert one.layers
        below = one.name == "GoogLeNet"
        left.annotate(
            f"{one.name}, {one.year}: {one.top5:g} %",
            (one.layers, one.top5),
            (8, -10 if below else 5),
            textcoords="offset points",
            fontsize=8,
            color=ink(_BLUE),
        )
    _log_depth(left, (8, 19, 22, 50, 152), (6, 600))
    left.set_ylim(0, 19)
    dress(left, title="ILSVRC entries", x="layers, log scale", y="top-5 error (%)")
    residual = {
        int(name.removeprefix("resnet").split("-")[0]): error
        for name, error in CIFAR10_TEST_ERROR.items()
        if error is not None
    }
    right.plot(
        list(residual), list(residual.values()), color=_BLUE, marker="o", label="ResNet (Table 6)"
    )
    for label, prefix, colour in (
        ("pre-activation", "preact", _GREEN),
        ("wide ResNet", "wrn", _RED),
    ):
        lines = [one for one in LATER[0].lines if (one.ours or "").startswith(prefix)]
        right.plot(
            [one.layers for one in lines],
            [one.error for one in lines],
            color=colour,
            marker="o",
            linestyle="-" if prefix == "preact" else "",
            label=label,
        )
    ours = [
        (run.depth, error, run.is_plain)
        for run in _full(runs, "cifar10")
        if (error := run.last(run.held_out)) is not None
    ]
    for plain, colour, label in (
        (True, GREY, "ours, plain"),
        (False, "black", "ours, residual"),
    ):
        points = [(depth, error) for depth, error, is_plain in ours if is_plain is plain]
        if points:
            right.plot(
                [depth for depth, _ in points],
                [error for _, error in points],
                color=colour,
                marker="x",
                markersize=8,
                markeredgewidth=2,
                linestyle="",
                label=label,
            )
    _log_depth(right, (16, 28, 56, 110, 164, 1001), (13, 1600))
    right.set_ylim(bottom=0)
    dress(right, title="CIFAR-10", x="layers, log scale", y="test error (%)")
    right.legend(frameon=False, fontsize=8, loc="lower left")
    sheet.suptitle("Error against depth, as published", fontsize=11)
    return sheet


def _log_depth(axes: Axes, ticks: Sequence[int], limits: tuple[float, float]) -> None:
    axes.set_xscale("log")
    axes.set_xlim(*limits)
    axes.set_xticks(ticks, labels=map(str, ticks))
    axes.minorticks_off()

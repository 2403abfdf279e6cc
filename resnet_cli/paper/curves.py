"""The errors that runs have logged as curves: several seeds of a network make one, with a band."""

import statistics
from collections.abc import Sequence

from resnet_cli.paper.plot import Curve
from resnet_cli.paper.runs import TRAINING, Run


def curves(runs: Sequence[Run]) -> list[Curve]:
    """Both curves of each network, the mean and the band of its seeds where there are several."""
    of: dict[str, list[Run]] = {}
    for run in runs:
        of.setdefault(run.network, []).append(run)
    depths = [seeds[0].depth for seeds in of.values()]
    found = []
    for network, seeds in of.items():
        label = f"{seeds[0].depth}-layer"
        if depths.count(seeds[0].depth) > 1:  # shortcuts A, B and C of one depth
            label = " ".join([label, *network.split("-")[1:]])
        for bold, name in ((False, TRAINING), (True, seeds[0].held_out)):
            x, columns = _common([run.curve(name) for run in seeds])
            if x:
                found.append(
                    Curve(
                        label=label,
                        depth=seeds[0].depth,
                        bold=bold,
                        x=x,
                        y=[statistics.fmean(values) for values in columns],
                        band=_band(columns) if len(seeds) > 1 else None,
                    )
                )
    return found


def _band(columns: Sequence[Sequence[float]]) -> tuple[list[float], list[float]]:
    """The lowest and the highest seed at each iteration."""
    return [min(values) for values in columns], [max(values) for values in columns]


def _common(
    series: Sequence[tuple[list[int], list[float]]],
) -> tuple[list[int], list[list[float]]]:
    """The iterations that all the seeds have, and their values at each."""
    points = [dict(zip(x, y, strict=True)) for x, y in series]
    shared = sorted(set(points[0]).intersection(*points[1:])) if points else []
    return shared, [[of[at] for of in points] for at in shared]

"""The legend below a figure."""

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.artist import Artist
from matplotlib.container import Container
from matplotlib.figure import Figure


def legend_below(figure: Figure, handles: Sequence[Artist | Container], **look: Any) -> None:
    """Puts it there in as few rows as the figure's width has room for, and evenly; `look` as
    `Figure.legend` takes it.
    """
    count = len(handles)
    shapes = dict.fromkeys(math.ceil(count / rows) for rows in range(1, count + 1))
    for columns in shapes:
        legend = figure.legend(
            handles=handles, loc="outside lower center", ncols=columns, frameon=False, **look
        )
        if columns == 1 or legend.get_window_extent().width <= figure.bbox.width:
            return
        legend.remove()

"""A figure before any ink: panels of curves and marks, and what is written beside them."""

from collections.abc import Sequence
from dataclasses import dataclass

from resnet_cli.paper.prose import Prose
from resnet_cli.paper.runs import Run
from resnet_cli.paper.verdicts import Verdict


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A network's errors; of several seeds their mean, and between which they lie."""

    label: str
    depth: int  # one colour a depth
    bold: bool  # the held-out error; training error is thin and dashed
    x: Sequence[int]
    y: Sequence[float]
    band: tuple[Sequence[float], Sequence[float]] | None = None  # lowest and highest seed


@dataclass(frozen=True, kw_only=True)
class Mark:
    """The paper's own value where its curve ends: printed, or read off a curve by others."""

    depth: int
    y: float
    read_off: bool = False


@dataclass(frozen=True, kw_only=True)
class Panel:
    title: str
    curves: tuple[Curve, ...]
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Plot:
    """A figure. x is divided by `unit` where it is drawn."""

    name: str  # of its files
    dataset: str
    title: str
    caption: Prose
    panels: tuple[Panel, ...]
    x_label: str
    runs: tuple[Run, ...] = ()  # what is drawn
    verdicts: tuple[Verdict, ...] = ()
    y_label: str = "error (%)"
    unit: int = 1
    y_limits: tuple[float, float | None] = (0, None)
    x_end: int | None = None  # where the marks stand and the axis ends
    styles: tuple[str, str] = ("training error", "test error")  # what dashed and bold stand for
    printed_are: str = "the paper's end"
    stacked: bool = False  # panels one above the other
    log: bool = False  # the y axis

    @property
    def short_title(self) -> str:
        """`Figure 6`; the data set's name where the figure is none of the paper's."""
        return self.title.split(":")[0]

"""The paper's figures of errors as frames to fill: which networks on which data, in which panels,
on which axis.
"""

from dataclasses import dataclass, field
from functools import cache

from resnet_cli.config.experiments import networks
from resnet_cli.paper.published import (
    CIFAR10_PLAIN_TEST_ERROR_READ_OFF,
    CIFAR10_TEST_ERROR,
    IMAGENET_TEN_CROP_ERROR,
)


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One of the paper's figures.

    `panels` are titles and the networks in each; `printed` and `read_off` the paper's ends in
    percent.
    """

    name: str  # of its files, and of the experiment that trains its networks
    title: str
    dataset: str
    panels: tuple[tuple[str, tuple[str, ...]], ...]
    y_limits: tuple[float, float]
    printed: dict[str, float | None]
    printed_are: str
    legend: str = "the paper's end"
    read_off: dict[str, float] = field(default_factory=dict)
    by_error: bool = False  # panels are training and test error, not groups of networks

    @property
    def networks(self) -> list[str]:
        return list(dict.fromkeys(name for _, names in self.panels for name in names))


def _side(experiment: str, kind: str) -> tuple[str, ...]:
    """The plain or the residual networks of an experiment."""
    return tuple(name for name in networks(experiment) if name.startswith(kind))


@cache
def frames() -> tuple[Frame, ...]:
    """The paper's figures of errors."""
    cifar10_ends = "the paper's test errors at the end of its schedule (Table 6)"
    return (
        Frame(
            name="figure1",
            title="Figure 1: plain networks of 20 and 56 layers on CIFAR-10",
            dataset="cifar10",
            panels=(("training error", networks("figure1")), ("test error", networks("figure1"))),
            y_limits=(0, 20),
            printed={},
            printed_are="",
            read_off=CIFAR10_PLAIN_TEST_ERROR_READ_OFF,
            by_error=True,
        ),
        Frame(
            name="figure6",
            title="Figure 6: plain and residual networks on CIFAR-10",
            dataset="cifar10",
            panels=(
                ("plain", (*_side("figure6", "plain"), "plain110")),
                ("residual", _side("figure6", "resnet")),
                ("residual, 110 and 1202 layers", ("resnet110-A", "resnet1202-A")),
            ),
            y_limits=(0, 20),
            printed=dict(CIFAR10_TEST_ERROR),
            printed_are=cifar10_ends,
            read_off=CIFAR10_PLAIN_TEST_ERROR_READ_OFF,
        ),
        Frame(
            name="figure4",
            title="Figure 4: plain and residual networks of 18 and 34 layers on ImageNet",
            dataset="imagenet",
            panels=(
                ("plain", _side("figure4", "plain")),
                ("residual", _side("figure4", "resnet")),
            ),
            y_limits=(20, 60),
            printed={name: errors[0] for name, errors in IMAGENET_TEN_CROP_ERROR.items()},
            printed_are="the paper's 10-crop errors (Table 2), a little lower than the centre crop "
            "drawn here, whose ends it does not print",
            legend="the paper's 10-crop error",
        ),
    )

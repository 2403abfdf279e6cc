"""The paper's figures of errors as frames to fill: which networks on which data, in which panels, on which axis."""

from dataclasses import dataclass

from resnet_cli.paper.numbers import CIFAR10_PLAIN_TEST_ERROR_READ_OFF, CIFAR10_TEST_ERROR, IMAGENET_TEN_CROP_ERROR


@dataclass(frozen=True)
class Frame:
    """One of the paper's figures. `panels` are titles and the networks in each; `marks` the paper's ends in percent."""

    name: str
    title: str
    dataset: str
    panels: tuple[tuple[str, tuple[str, ...]], ...]
    y_limits: tuple[float, float]
    marks: dict[str, float | None]
    marks_are: str
    legend: str = "the paper's end"
    by_error: bool = False  # panels are training and test error, not groups of networks

    @property
    def networks(self) -> list[str]:
        return list(dict.fromkeys(name for _, names in self.panels for name in names))


PLAIN, RESIDUAL = tuple(f"plain{n}" for n in (20, 32, 44, 56)), tuple(f"resnet{n}-A" for n in (20, 32, 44, 56, 110))
CIFAR10_ENDS = {**CIFAR10_TEST_ERROR, **CIFAR10_PLAIN_TEST_ERROR_READ_OFF}
CIFAR10_ENDS_ARE = "the paper's test errors at the end of its schedule (Table 6; of plain networks as read off Fig. 6)"
FRAMES = (
    Frame(
        "figure1",
        "Figure 1: plain networks of 20 and 56 layers on CIFAR-10",
        "cifar10",
        (("training error", ("plain20", "plain56")), ("test error", ("plain20", "plain56"))),
        (0, 20),
        CIFAR10_ENDS,
        CIFAR10_ENDS_ARE,
        by_error=True,
    ),
    Frame(
        "figure4",
        "Figure 4: plain and residual networks of 18 and 34 layers on ImageNet",
        "imagenet",
        (("plain", ("plain18", "plain34")), ("residual", ("resnet18-A", "resnet34-A"))),
        (20, 60),
        {name: errors[0] for name, errors in IMAGENET_TEN_CROP_ERROR.items()},
        "the paper's 10-crop errors (Table 2), a little lower than the centre crop drawn here, whose ends it does not print",
        legend="the paper's 10-crop error",
    ),
    Frame(
        "figure6",
        "Figure 6: plain and residual networks on CIFAR-10",
        "cifar10",
        (("plain", (*PLAIN, "plain110")), ("residual", RESIDUAL), ("residual, 110 and 1202 layers", ("resnet110-A", "resnet1202-A"))),
        (0, 20),
        CIFAR10_ENDS,
        CIFAR10_ENDS_ARE,
    ),
)

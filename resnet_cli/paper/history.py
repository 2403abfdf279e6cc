"""What came before the paper and after it, as published: errors in percent, and where sources
contradict each other.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Winner:
    """A classification entry of ILSVRC; `layers` are those with weights, None before networks."""

    year: int
    name: str
    layers: int | None
    top5: float  # on the test server, without outside data
    source: str
    remark: str = ""


# Error of the best entry of each year, and of VGG, second in 2014.
WINNERS = (
    Winner(year=2010, name="NEC-UIUC", layers=None, top5=28.2, source="Russakovsky et al. 2015"),
    Winner(year=2011, name="XRCE", layers=None, top5=25.8, source="Russakovsky et al. 2015"),
    Winner(
        year=2012,
        name="AlexNet",
        layers=8,
        top5=16.4,
        source="Krizhevsky et al. 2012",
        remark="15.3 with outside data. Its paper counts 8 layers, five convolutional and three "
        "fully connected; who counts the hidden ones says 7.",
    ),
    Winner(
        year=2013,
        name="Clarifai",
        layers=8,
        top5=11.7,
        source="Zeiler and Fergus 2014",
        remark="11.2 with outside data.",
    ),
    Winner(
        year=2014,
        name="VGG",
        layers=19,
        top5=7.32,
        source="Table 5 of the paper",
        remark="Second in 2014; 6.8 after the challenge.",
    ),
    Winner(
        year=2014,
        name="GoogLeNet",
        layers=22,
        top5=6.67,
        source="Szegedy et al. 2015",
        remark="6.66 in Table 5 of the paper, 6.67 in GoogLeNet's own.",
    ),
    Winner(year=2015, name="ResNet", layers=152, top5=3.57, source="Table 5 of the paper"),
)


@dataclass(frozen=True, kw_only=True)
class Later:
    """A network of a later paper; `ours` is what its runs are called here, up to the shortcut."""

    name: str
    error: float
    layers: int | None = None  # None: its authors give no number
    parameters: float | None = None  # in millions, as published
    ours: str | None = None
    other: float | None = None  # of the table's further column


@dataclass(frozen=True, kw_only=True)
class LaterTable:
    title: str
    source: str
    dataset: str
    column: str
    lines: tuple[Later, ...]
    digits: int = 2  # behind the point, as published
    other: str | None = None


def _resnext(depth: int, errors: tuple[float, ...]) -> tuple[Later, ...]:
    shapes = ((1, 64), (2, 40), (4, 24), (8, 14), (32, 4))
    return tuple(
        Later(
            name=f"{'ResNet' if groups == 1 else 'ResNeXt'}-{depth} ({groups} x {width}d)",
            error=error,
            layers=depth,
            ours=f"resnet{depth}-B" if groups == 1 else f"resnet{depth}-{groups}x{width}d-B",
        )
        for (groups, width), error in zip(shapes, errors, strict=True)
    )


LATER = (
    LaterTable(
        title="Pre-activation and wide networks on CIFAR-10",
        source="He et al. 2016, Tables 1 and 3; Zagoruyko and Komodakis 2016, Table 5",
        dataset="cifar10",
        column="test error %",
        lines=(
            Later(name="ResNet-110", error=6.61, layers=110, parameters=1.7, ours="resnet110-A"),
            Later(
                name="ResNet-110, 1x1 shortcuts (C)", error=12.22, layers=110, ours="resnet110-C"
            ),
            Later(name="ResNet-164", error=5.93, layers=164, parameters=1.7, ours="resnet164"),
            Later(name="ResNet-1001", error=7.61, layers=1001, parameters=10.2, ours="resnet1001"),
            Later(
                name="pre-activation 110", error=6.37, layers=110, parameters=1.7, ours="preact110"
            ),
            Later(
                name="pre-activation 164", error=5.46, layers=164, parameters=1.7, ours="preact164"
            ),
            Later(
                name="pre-activation 1001",
                error=4.92,
                layers=1001,
                parameters=10.2,
                ours="preact1001",
            ),
            Later(name="WRN-40-4", error=4.53, layers=40, parameters=8.9, ours="wrn40_4"),
            Later(name="WRN-16-8", error=4.27, layers=16, parameters=11.0, ours="wrn16_8"),
            Later(name="WRN-28-10", error=4.00, layers=28, parameters=36.5, ours="wrn28_10"),
        ),
    ),
    LaterTable(
        title="ResNeXt on ImageNet: more groups at the same cost",
        source="Xie et al. 2017, Table 3",
        dataset="imagenet",
        column="top-1 error %, one crop",
        lines=(
            *_resnext(50, (23.9, 23.0, 22.6, 22.3, 22.2)),
            *_resnext(101, (22.0, 21.7, 21.4, 21.3, 21.2)),
        ),
        digits=1,
    ),
    LaterTable(
        title="ResNeXt on ImageNet: deeper, wider, or more groups for twice the cost",
        source="Xie et al. 2017, Table 4; the first two have the cost of ResNet-101, the others "
        "about twice that",
        dataset="imagenet",
        column="top-1 error %, one crop",
        other="top-5 error %",
        lines=(
            Later(
                name="ResNet-101 (1 x 64d)", error=22.0, other=6.0, layers=101, ours="resnet101-B"
            ),
            Later(
                name="ResNeXt-101 (32 x 4d)",
                error=21.2,
                other=5.6,
                layers=101,
                ours="resnet101-32x4d-B",
            ),
            Later(name="ResNet-200 (1 x 64d)", error=21.7, other=5.8, layers=200),
            Later(name="ResNet-101, wider (1 x 100d)", error=21.3, other=5.7, layers=101),
            Later(name="ResNeXt-101 (2 x 64d)", error=20.7, other=5.5, layers=101),
            Later(
                name="ResNeXt-101 (64 x 4d)",
                error=20.4,
                other=5.3,
                layers=101,
                ours="resnet101-64x4d-B",
            ),
        ),
        digits=1,
    ),
    LaterTable(
        title="ResNeXt on ImageNet, beside the best of its time",
        source="Xie et al. 2017, Table 5; crops of 320 pixels, Inception's of 299",
        dataset="imagenet",
        column="top-1 error %, one larger crop",
        other="top-5 error %",
        lines=(
            Later(name="ResNet-200", error=20.1, other=4.8, layers=200),
            Later(name="Inception-v3", error=21.2, other=5.6),
            Later(name="Inception-v4", error=20.0, other=5.0),
            Later(name="Inception-ResNet-v2", error=19.9, other=4.9),
            Later(name="ResNeXt-101 (64 x 4d)", error=19.1, other=4.4, layers=101),
        ),
        digits=1,
    ),
    LaterTable(
        title="DenseNet on ImageNet",
        source="Huang et al. 2017, Table 3",
        dataset="imagenet",
        column="top-1 error %, one crop",
        other="ten crops",
        lines=(
            Later(name="DenseNet-121", error=25.02, other=23.61, layers=121, ours="densenet121"),
            Later(name="DenseNet-169", error=23.80, other=22.08, layers=169, ours="densenet169"),
            Later(name="DenseNet-201", error=22.58, other=21.46, layers=201, ours="densenet201"),
            Later(name="DenseNet-264", error=22.15, other=20.80, layers=264, ours="densenet264"),
        ),
    ),
)

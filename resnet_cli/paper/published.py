"""The paper's published numbers, as data.

Errors in percent; networks are called as `Architecture.name` calls them.
"""

from dataclasses import KW_ONLY, dataclass

# Iterations of the paper's whole schedule: section 4.2, and section 3.4 ("up to 60 x 10^4").
FULL_ITERATIONS = {"cifar10": 64_000, "imagenet": 600_000}

# How the paper tests on ImageNet: 50k validation images (section 4.1), and for its best results
# shorter sides of these (section 3.4).
IMAGENET_VALIDATION = 50_000
SCALES = (224, 256, 384, 480, 640)

# Table 6, ResNet-110: the std of five runs, in points. What one seed differs from another by.
CIFAR10_SEED_STD = 0.16

ENSEMBLE = "ensemble"  # what Table 5 calls a network: any of ours averaged


@dataclass(frozen=True)
class Published:
    """One line of a table: an error for each of its columns, None where the paper prints a dash."""

    method: str
    errors: tuple[float | None, ...]
    _: KW_ONLY
    network: str | None = None  # ours of that name; None for other people's methods
    mean: float | None = None  # of several runs, of which `errors` has the best; first column only
    std: float | None = None
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class PublishedTable:
    number: int
    title: str
    dataset: str
    columns: tuple[str, ...]
    lines: tuple[Published, ...]
    # how ours must have been tested: resnet-eval's word; None for the run's own test error
    views: str | None
    ensemble: bool = False
    images: int | None = None  # how many ours must be tested on
    scales: tuple[int, ...] = ()  # shorter sides that ours must be tested at


TABLE_2 = PublishedTable(
    number=2,
    title="Top-1 error (%) on the ImageNet validation set, 10-crop: deeper is worse without "
    "shortcuts, better with them",
    dataset="imagenet",
    columns=("top-1",),
    lines=(
        Published("plain-18", (27.94,), network="plain18"),
        Published("ResNet-18 (A)", (27.88,), network="resnet18-A"),
        Published("plain-34", (28.54,), network="plain34"),
        Published("ResNet-34 (A)", (25.03,), network="resnet34-A"),
    ),
    views="ten",
    images=IMAGENET_VALIDATION,
)

TABLE_3 = PublishedTable(
    number=3,
    title="Errors (%) on the ImageNet validation set, 10-crop",
    dataset="imagenet",
    columns=("top-1", "top-5"),
    lines=(
        Published("VGG-16", (28.07, 9.33)),
        Published("GoogLeNet", (None, 9.15)),
        Published("PReLU-net", (24.27, 7.38)),
        Published("plain-34", (28.54, 10.02), network="plain34"),
        Published("ResNet-34 A", (25.03, 7.76), network="resnet34-A"),
        Published("ResNet-34 B", (24.52, 7.46), network="resnet34-B"),
        Published("ResNet-34 C", (24.19, 7.40), network="resnet34-C"),
        Published("ResNet-50", (22.85, 6.71), network="resnet50-B"),
        Published("ResNet-101", (21.75, 6.05), network="resnet101-B"),
        Published("ResNet-152", (21.43, 5.71), network="resnet152-B"),
    ),
    views="ten",
    images=IMAGENET_VALIDATION,
)

TABLE_4 = PublishedTable(
    number=4,
    title="Errors (%) of single models on the ImageNet validation set, fully convolutional at "
    "several scales",
    dataset="imagenet",
    columns=("top-1", "top-5"),
    lines=(
        Published("VGG (ILSVRC'14)", (None, 8.43), note="on the test set"),
        Published("GoogLeNet (ILSVRC'14)", (None, 7.89)),
        Published("VGG (v5)", (24.4, 7.1)),
        Published("PReLU-net", (21.59, 5.71)),
        Published("BN-inception", (21.99, 5.81)),
        Published("ResNet-34 B", (21.84, 5.71), network="resnet34-B"),
        Published("ResNet-34 C", (21.53, 5.60), network="resnet34-C"),
        Published("ResNet-50", (20.74, 5.25), network="resnet50-B"),
        Published("ResNet-101", (19.87, 4.60), network="resnet101-B"),
        Published("ResNet-152", (19.38, 4.49), network="resnet152-B"),
    ),
    views="dense",
    images=IMAGENET_VALIDATION,
    scales=SCALES,
)

TABLE_5 = PublishedTable(
    number=5,
    title="Top-5 error (%) of ensembles on the ImageNet test set, as the test server reports it",
    dataset="imagenet",
    columns=("top-5",),
    lines=(
        Published("VGG (ILSVRC'14)", (7.32,)),
        Published("GoogLeNet (ILSVRC'14)", (6.66,)),
        Published("VGG (v5)", (6.8,)),
        Published("PReLU-net", (4.94,)),
        Published("BN-inception", (4.82,)),
        Published("ResNet (ILSVRC'15)", (3.57,), network=ENSEMBLE, note="six models"),
    ),
    views="dense",
    ensemble=True,
    images=IMAGENET_VALIDATION,
    scales=SCALES,
)

TABLE_6 = PublishedTable(
    number=6,
    title="Test error (%) on CIFAR-10",
    dataset="cifar10",
    columns=("test",),
    lines=(
        Published("Maxout", (9.38,)),
        Published("NIN", (8.81,)),
        Published("DSN", (8.22,)),
        Published("FitNet, 19 layers, 2.5M parameters", (8.39,)),
        Published("Highway, 19 layers, 2.3M parameters", (7.54,), mean=7.72, std=0.16),
        Published("Highway, 32 layers, 1.25M parameters", (8.80,)),
        Published("ResNet-20", (8.75,), network="resnet20-A"),
        Published("ResNet-32", (7.51,), network="resnet32-A"),
        Published("ResNet-44", (7.17,), network="resnet44-A"),
        Published("ResNet-56", (6.97,), network="resnet56-A"),
        Published(
            "ResNet-110",
            (6.43,),
            network="resnet110-A",
            mean=6.61,
            std=CIFAR10_SEED_STD,
            note="of five runs",
        ),
        Published("ResNet-1202", (7.93,), network="resnet1202-A"),
    ),
    views=None,
)

# Other papers on networks of ours, CIFAR-10 test error in percent. Where they measured one of the
# paper's networks again, theirs stands beside the paper's.
#
# He et al. 2016, Identity Mappings in Deep Residual Networks (1603.05027): Table 2 (1001 layers:
# also Table 4), original against pre-activation, the median of five runs; and Table 1, ResNet-110
# with a projection (1x1) on every shortcut.
IDENTITY_MAPPINGS = {
    "resnet110-A": 6.61,
    "resnet164-bottleneck-B": 5.93,
    "resnet1001-bottleneck-B": 7.61,
    "preact110-A": 6.37,
    "preact164-bottleneck-B": 5.46,
    "preact1001-bottleneck-B": 4.92,
    "resnet110-C": 12.22,
}
# Zagoruyko and Komodakis 2016, Wide Residual Networks (1605.07146), Table 5: without dropout, with
# the recipe of conf/schedule/wrn.yaml.
WIDE = {"wrn16-8-B": 4.27, "wrn28-10-B": 4.00, "wrn40-4-B": 4.53}
LATER_CIFAR10_TEST_ERROR = IDENTITY_MAPPINGS | WIDE

TABLES = (TABLE_2, TABLE_3, TABLE_4, TABLE_5, TABLE_6)

CIFAR10_TEST_ERROR = {line.network: line.errors[0] for line in TABLE_6.lines if line.network}

# Not printed in the paper: read off the curves' ends of Fig. 6 (left) by others; good to about half
# a point.
READ_OFF_TO = 0.5
CIFAR10_PLAIN_TEST_ERROR_READ_OFF = {
    "plain20": 9.5,
    "plain32": 10.0,
    "plain44": 12.0,
    "plain56": 13.5,
}

# (top-1, top-5) error on the ImageNet validation set, ten-crop: Table 3, and Table 2 for 18 layers,
# top-1 alone.
IMAGENET_TEN_CROP_ERROR: dict[str, tuple[float | None, float | None]] = {
    line.network: (line.errors[0], line.errors[1] if len(line.errors) > 1 else None)
    for table in (TABLE_2, TABLE_3)
    for line in table.lines
    if line.network
}

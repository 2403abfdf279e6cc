"""The paper's published numbers, as data. Errors in percent; keys are network names as `Architecture.name` gives them."""

# Table 6: test error on CIFAR-10, the single 32x32 view. ResNet-110: best of five runs (mean 6.61, std 0.16).
CIFAR10_TEST_ERROR = {
    "resnet20-A": 8.75,
    "resnet32-A": 7.51,
    "resnet44-A": 7.17,
    "resnet56-A": 6.97,
    "resnet110-A": 6.43,
    "resnet1202-A": 7.93,
}

# Not printed in the paper: read off the curves' ends of Fig. 6 (left) by others; good to about half a percent.
CIFAR10_PLAIN_TEST_ERROR_READ_OFF = {"plain20": 9.5, "plain32": 10.0, "plain44": 12.0, "plain56": 13.5}

# Table 3: (top-1, top-5) error on the ImageNet validation set, ten-crop. Table 2 gives plain-18 and ResNet-18, top-1 alone.
IMAGENET_TEN_CROP_ERROR: dict[str, tuple[float, float | None]] = {
    "plain18": (27.94, None),
    "resnet18-A": (27.88, None),
    "plain34": (28.54, 10.02),
    "resnet34-A": (25.03, 7.76),
    "resnet34-B": (24.52, 7.46),
    "resnet34-C": (24.19, 7.40),
    "resnet50-B": (22.85, 6.71),
    "resnet101-B": (21.75, 6.05),
    "resnet152-B": (21.43, 5.71),
}

"""Networks by name: those of the paper with its shortcuts, and the wider ones that came after."""

from resnet_cli.models.architecture import Architecture, Shortcut, StrideIn, cifar, imagenet

_CIFAR_PLAIN = (20, 32, 44, 56, 110)
_CIFAR_RESIDUAL = (20, 32, 44, 56, 110, 1202)

# By torchvision's names: depth, groups and width per group of ResNeXt (Xie et al. 2017) and
# Wide ResNet (Zagoruyko and Komodakis 2016).
WIDER = {
    "resnext50_32x4d": (50, 32, 4),
    "resnext101_32x8d": (101, 32, 8),
    "resnext101_64x4d": (101, 64, 4),
    "wide_resnet50_2": (50, 1, 128),
    "wide_resnet101_2": (101, 1, 128),
}

NETWORKS: dict[str, Architecture] = (
    {f"plain{depth}": cifar(depth, shortcut=Shortcut.none) for depth in _CIFAR_PLAIN}
    | {f"resnet{depth}": cifar(depth, shortcut=Shortcut.A) for depth in _CIFAR_RESIDUAL}
    | {f"plain{depth}": imagenet(depth, shortcut=Shortcut.none) for depth in (18, 34, 50)}
    | {f"resnet{depth}": imagenet(depth, shortcut=Shortcut.A) for depth in (18, 34)}  # Table 2
    # section 4.1
    | {f"resnet{depth}": imagenet(depth, shortcut=Shortcut.B) for depth in (50, 101, 152)}
    | {
        name: imagenet(
            depth,
            shortcut=Shortcut.B,
            stride_in=StrideIn.middle,
            groups=groups,
            width_per_group=width,
        )
        for name, (depth, groups, width) in WIDER.items()
    }
)

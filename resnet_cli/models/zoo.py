"""Name -> network: the networks the paper trains, each with the shortcut the paper gives it."""

from resnet_cli.models.architecture import Architecture, Shortcut, cifar, imagenet

CIFAR_PLAIN = (20, 32, 44, 56, 110)
CIFAR_RESIDUAL = (20, 32, 44, 56, 110, 1202)

NETWORKS: dict[str, Architecture] = (
    {f"plain{depth}": cifar(depth, shortcut=Shortcut.none) for depth in CIFAR_PLAIN}
    | {f"resnet{depth}": cifar(depth, shortcut=Shortcut.A) for depth in CIFAR_RESIDUAL}
    | {f"plain{depth}": imagenet(depth, shortcut=Shortcut.none) for depth in (18, 34)}
    | {f"resnet{depth}": imagenet(depth, shortcut=Shortcut.A) for depth in (18, 34)}  # Table 2
    | {f"resnet{depth}": imagenet(depth, shortcut=Shortcut.B) for depth in (50, 101, 152)}  # section 4.1
)

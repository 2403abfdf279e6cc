"""What a network is made of, as data: section 4.2 (CIFAR-10) and Table 1 (ImageNet) of the paper."""

from dataclasses import dataclass
from enum import StrEnum


class Shortcut(StrEnum):
    """What carries x past a block (section 3.3). A plain network is the one without."""

    none = "none"
    A = "A"  # identity; zero-padded channels where the width grows: no parameters
    B = "B"  # 1x1 projection where the dimensions change, identity elsewhere
    C = "C"  # 1x1 projection everywhere


class Stem(StrEnum):
    """The layers before the first stage."""

    cifar = "cifar"  # 3x3, 16 filters
    imagenet = "imagenet"  # 7x7, 64 filters, stride 2; 3x3 max pool, stride 2


class Block(StrEnum):
    """The two building blocks of Fig. 5."""

    basic = "basic"  # 3x3, 3x3
    bottleneck = "bottleneck"  # 1x1, 3x3, 1x1 (x4)


# The bottleneck halves the map in its first 1x1 (the paper, 3.8e9 multiply-adds for 50 layers) or in its 3x3 (torchvision, 4.1e9).
STRIDE_IN = ("1x1", "3x3")

EXPANSION = {Block.basic: 1, Block.bottleneck: 4}
CONVOLUTIONS = {Block.basic: 2, Block.bottleneck: 3}

# Table 1: depth -> block, blocks per stage.
IMAGENET_STAGES = {
    18: (Block.basic, (2, 2, 2, 2)),
    34: (Block.basic, (3, 4, 6, 3)),
    50: (Block.bottleneck, (3, 4, 6, 3)),
    101: (Block.bottleneck, (3, 4, 23, 3)),
    152: (Block.bottleneck, (3, 8, 36, 3)),
}


@dataclass(frozen=True)
class Architecture:
    """Everything `models.resnet.ResNet` needs; plain values only, so that a checkpoint can hold it."""

    stem: Stem
    block: Block
    blocks: tuple[int, ...]  # per stage
    widths: tuple[int, ...]  # filters of the 3x3 convolutions, per stage
    shortcut: Shortcut
    num_classes: int
    stride_in: str = "1x1"

    @property
    def depth(self) -> int:
        """Layers with weights on the longest path, as the paper counts them: stem, blocks, fc."""
        return CONVOLUTIONS[self.block] * sum(self.blocks) + 2

    @property
    def name(self) -> str:
        """`plain56`, `resnet56-A`: what run folders, tables and curves call it."""
        return f"plain{self.depth}" if self.shortcut is Shortcut.none else f"resnet{self.depth}-{self.shortcut}"

    @property
    def image_size(self) -> int:
        """Side of the training images in the paper, in pixels."""
        return 32 if self.stem is Stem.cifar else 224


def cifar(depth: int, *, shortcut: Shortcut, num_classes: int = 10) -> Architecture:
    """The network of section 4.2: 6n+2 layers on maps of 32, 16 and 8.

    Raises ValueError for a depth that is not 6n+2.
    """
    n, rest = divmod(depth - 2, 6)
    if rest or n < 1:
        below = max(8, 6 * n + 2)
        near = f"{below} or {below + 6}" if n >= 1 else "8"
        raise ValueError(f"model.depth={depth}: a CIFAR network has 6n+2 layers (20, 32, 44, 56, 110, 1202, ...); nearest: {near}")
    return Architecture(Stem.cifar, Block.basic, (n, n, n), (16, 32, 64), shortcut, num_classes)


def imagenet(depth: int, *, shortcut: Shortcut, num_classes: int = 1000, stride_in: str = "1x1") -> Architecture:
    """The network of Table 1. Raises ValueError for a depth that is not there."""
    if depth not in IMAGENET_STAGES:
        raise ValueError(f"model.depth={depth}: Table 1 has {', '.join(map(str, IMAGENET_STAGES))} layers")
    if stride_in not in STRIDE_IN:
        raise ValueError(f"model.stride_in={stride_in}: use one of {', '.join(STRIDE_IN)}")
    block, blocks = IMAGENET_STAGES[depth]
    return Architecture(Stem.imagenet, block, blocks, (64, 128, 256, 512), shortcut, num_classes, stride_in)

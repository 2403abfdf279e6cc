"""What a network is made of, as data: section 4.2 (CIFAR-10) and Table 1 (ImageNet) of the
paper.
"""

from dataclasses import dataclass
from enum import StrEnum


class Shortcut(StrEnum):
    """What carries x past a block (section 3.3). A plain network is the one without."""

    none = "none"
    A = "A"  # identity; zero-padded channels where the width grows: no parameters
    B = "B"  # 1x1 projection where the dimensions change, identity elsewhere
    C = "C"  # 1x1 projection everywhere


class Stem(StrEnum):
    """The layers before the first stage, as wide as that stage."""

    cifar = "cifar"  # 3x3
    imagenet = "imagenet"  # 7x7, stride 2; 3x3 max pool, stride 2


class Block(StrEnum):
    """The two building blocks of Fig. 5."""

    basic = "basic"  # 3x3, 3x3
    bottleneck = "bottleneck"  # 1x1, 3x3, 1x1 (x4)


class StrideIn(StrEnum):
    """Which convolution of a bottleneck halves the map."""

    first = "1x1"  # the paper: 3.8e9 multiply-adds for 50 layers
    middle = "3x3"  # torchvision and most later code: 4.1e9


class Family(StrEnum):
    """Which of the paper's two plans a depth is looked up in."""

    cifar = "cifar"  # section 4.2
    imagenet = "imagenet"  # Table 1


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
    """Everything `models.resnet.ResNet` needs; plain values only, so that a checkpoint can hold
    it.
    """

    stem: Stem
    block: Block
    blocks: tuple[int, ...]  # per stage
    widths: tuple[int, ...]  # filters of the 3x3 convolutions, per stage
    shortcut: Shortcut
    num_classes: int
    stride_in: StrideIn = StrideIn.first
    groups: int = 1  # of a bottleneck's 3x3: ResNeXt's cardinality
    # in the first stage: 64 is the paper's width, 128 Wide ResNet's, 4 with 32 groups ResNeXt's
    width_per_group: int = 64

    @property
    def depth(self) -> int:
        """Layers with weights on the longest path, as the paper counts them: stem, blocks, fc."""
        return CONVOLUTIONS[self.block] * sum(self.blocks) + 2

    @property
    def name(self) -> str:
        """`plain56`, `resnet56-A`: what run folders, tables and curves call it."""
        plain = self.shortcut is Shortcut.none
        kind = "plain" if plain else "resnet"
        width = (
            f"-{self.groups}x{self.width_per_group}d"
            if (self.groups, self.width_per_group) != (1, 64)
            else ""
        )
        return f"{kind}{self.depth}{width}" + ("" if plain else f"-{self.shortcut}")

    @property
    def image_size(self) -> int:
        """Side of the training images in the paper, in pixels."""
        return 32 if self.stem is Stem.cifar else 224

    @property
    def stride(self) -> int:
        """Input pixels a pixel of the last map stands for, each way: 4 for the CIFAR networks,
        32 for Table 1's.
        """
        return (1 if self.stem is Stem.cifar else 4) * 2 ** (len(self.blocks) - 1)

    def inner_width(self, width: int) -> int:
        """Filters of a bottleneck's 3x3 in the stage of `width` (ResNeXt, Table 1; Wide ResNet)."""
        return width * self.width_per_group // 64 * self.groups


def cifar(depth: int, *, shortcut: Shortcut, num_classes: int = 10) -> Architecture:
    """The network of section 4.2: 6n+2 layers on maps of 32, 16 and 8.

    Raises ValueError for a depth that is not 6n+2.
    """
    n, rest = divmod(depth - 2, 6)
    if rest or n < 1:
        below = max(8, 6 * n + 2)
        near = f"{below} or {below + 6}" if n >= 1 else "8"
        raise ValueError(
            f"model.depth={depth}: a CIFAR network has 6n+2 layers (20, 32, 44, 56, 110, "
            f"1202, ...); nearest: {near}"
        )
    return Architecture(
        stem=Stem.cifar,
        block=Block.basic,
        blocks=(n, n, n),
        widths=(16, 32, 64),
        shortcut=shortcut,
        num_classes=num_classes,
    )


def imagenet(
    depth: int,
    *,
    shortcut: Shortcut,
    num_classes: int = 1000,
    stem: Stem = Stem.imagenet,
    stride_in: StrideIn = StrideIn.first,
    groups: int = 1,
    width_per_group: int = 64,
) -> Architecture:
    """The network of Table 1; with `groups` or `width_per_group` its bottlenecks become ResNeXt's
    or Wide ResNet's.

    Raises ValueError for a depth that is not there, and for widths that only bottlenecks have.
    """
    if depth not in IMAGENET_STAGES:
        raise ValueError(
            f"model.depth={depth}: Table 1 has {', '.join(map(str, IMAGENET_STAGES))} layers"
        )
    block, blocks = IMAGENET_STAGES[depth]
    if block is Block.basic and (groups, width_per_group) != (1, 64):
        raise ValueError(
            f"model.groups={groups} model.width_per_group={width_per_group}: basic blocks "
            f"({depth} layers) have no such widths"
        )
    if groups < 1 or width_per_group < 1:
        raise ValueError(
            f"model.groups={groups} model.width_per_group={width_per_group}: must be at least 1"
        )
    return Architecture(
        stem=stem,
        block=block,
        blocks=blocks,
        widths=(64, 128, 256, 512),
        shortcut=shortcut,
        num_classes=num_classes,
        stride_in=stride_in,
        groups=groups,
        width_per_group=width_per_group,
    )


def make_architecture(
    depth: int,
    *,
    shortcut: Shortcut,
    family: Family = Family.cifar,
    num_classes: int | None = None,
    stem: Stem | None = None,
    stride_in: str = StrideIn.first,
    groups: int = 1,
    width_per_group: int = 64,
) -> Architecture:
    """The network of a family; its arguments are the keys of `model`, None the family's own.

    Raises ValueError naming the key that does not fit.
    """
    if stride_in not in set(StrideIn):
        raise ValueError(f"model.stride_in={stride_in}: use one of {', '.join(StrideIn)}")
    if family is Family.imagenet:
        return imagenet(
            depth,
            shortcut=shortcut,
            num_classes=1000 if num_classes is None else num_classes,
            stem=stem or Stem.imagenet,
            stride_in=StrideIn(stride_in),
            groups=groups,
            width_per_group=width_per_group,
        )
    if stem is Stem.imagenet or (groups, width_per_group) != (1, 64):
        raise ValueError(
            "model.stem, model.groups and model.width_per_group belong to ImageNet's "
            "networks, such as model=resnet18"
        )
    return cifar(depth, shortcut=shortcut, num_classes=10 if num_classes is None else num_classes)

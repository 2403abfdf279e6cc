"""Network architectures as data: section 4.2 (CIFAR-10) and Table 1 (ImageNet) of the paper."""

from dataclasses import dataclass, replace
from enum import StrEnum


class Shortcut(StrEnum):
    """The shortcut around a block (section 3.3); a plain network has none."""

    none = "none"
    A = "A"  # identity; zero-padded channels where the width grows: no parameters
    B = "B"  # 1x1 projection where the dimensions change, identity elsewhere
    C = "C"  # 1x1 projection everywhere


class Stem(StrEnum):
    """The layers before the first stage; they are as wide as that stage."""

    cifar = "cifar"  # 3x3
    imagenet = "imagenet"  # 7x7, stride 2; 3x3 max pool, stride 2


class Block(StrEnum):
    """The two building blocks of Fig. 5."""

    basic = "basic"  # 3x3, 3x3
    bottleneck = "bottleneck"  # 1x1, 3x3, 1x1 (x4)


class StrideIn(StrEnum):
    """Which convolution of a bottleneck has stride 2."""

    first = "1x1"  # the paper: 3.8e9 multiply-adds for 50 layers
    middle = "3x3"  # torchvision and most later code: 4.1e9


class ZeroPadding(StrEnum):
    """Where shortcut A puts the zeros that are its new channels."""

    after = "after"  # behind the old channels: the paper's, and fb.resnet.torch's
    both = "both"  # half of them before, half behind: akamaster's and its many copies


class Family(StrEnum):
    """The two families of networks in the paper, which assign blocks to a depth differently."""

    cifar = "cifar"  # section 4.2
    imagenet = "imagenet"  # Table 1


EXPANSION = {Block.basic: 1, Block.bottleneck: 4}
_CONVOLUTIONS = {Block.basic: 2, Block.bottleneck: 3}

# Table 1: depth -> block, blocks per stage
_IMAGENET_STAGES = {
    18: (Block.basic, (2, 2, 2, 2)),
    34: (Block.basic, (3, 4, 6, 3)),
    50: (Block.bottleneck, (3, 4, 6, 3)),
    101: (Block.bottleneck, (3, 4, 23, 3)),
    152: (Block.bottleneck, (3, 8, 36, 3)),
}


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """Everything that `models.resnet.ResNet` is built from.

    Plain values only, so that a checkpoint can hold it.
    """

    stem: Stem
    block: Block
    blocks: tuple[int, ...]  # per stage
    widths: tuple[int, ...]  # filters of the 3x3 convolutions, per stage
    shortcut: Shortcut
    num_classes: int
    stride_in: StrideIn = StrideIn.first
    groups: int = 1  # of a bottleneck's 3x3 convolution: ResNeXt's cardinality
    # in the first stage: 64 in the paper, 128 in Wide ResNet-2, 4 (with 32 groups) in ResNeXt
    width_per_group: int = 64
    zero_padding: ZeroPadding = ZeroPadding.after  # of shortcut A

    @property
    def block_depth(self) -> int:
        """Convolutions of a block, in a row."""
        return _CONVOLUTIONS[self.block]

    @property
    def depth(self) -> int:
        """Weighted layers on the longest path, as the paper counts them: stem, blocks and fc."""
        return self.block_depth * sum(self.blocks) + 2

    @property
    def name(self) -> str:
        """`plain56` or `resnet56-A`: the name in run folders, tables and plots."""
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
        """Side of the paper's training images, in pixels."""
        return 32 if self.stem is Stem.cifar else 224

    @property
    def stride(self) -> int:
        """Total stride: 4 for the CIFAR networks, 32 for those of Table 1."""
        return (1 if self.stem is Stem.cifar else 4) * 2 ** (len(self.blocks) - 1)

    def inner_width(self, width: int) -> int:
        """Filters of a bottleneck's 3x3 convolution in a stage of `width` (ResNeXt, Table 1)."""
        return width * self.width_per_group // 64 * self.groups


def zeros_before(new_channels: int, padding: ZeroPadding) -> int:
    """How many of shortcut A's new channels lie before the old ones."""
    return new_channels // 2 if padding is ZeroPadding.both else 0


def cifar(depth: int, *, shortcut: Shortcut, num_classes: int = 10) -> Architecture:
    """The network of section 4.2: 6n+2 layers on maps of 32, 16 and 8 pixels a side.

    Raises ValueError if `depth` is not 6n+2.
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
    """The network of Table 1.

    `groups` and `width_per_group` turn its bottlenecks into those of ResNeXt or Wide ResNet.
    Raises ValueError if Table 1 has no such depth, or if the blocks of that depth are not
    bottlenecks but `groups` or `width_per_group` is given.
    """
    if depth not in _IMAGENET_STAGES:
        raise ValueError(
            f"model.depth={depth}: Table 1 has {', '.join(map(str, _IMAGENET_STAGES))} layers"
        )
    block, blocks = _IMAGENET_STAGES[depth]
    if block is Block.basic and (groups, width_per_group) != (1, 64):
        raise ValueError(
            f"model.groups={groups} model.width_per_group={width_per_group}: only "
            f"bottlenecks (50, 101, 152 layers) have them, not the basic blocks of {depth} layers"
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
    zero_padding: ZeroPadding = ZeroPadding.after,
) -> Architecture:
    """The network of a family; its arguments are the keys of `model`, None the family's own.

    Raises ValueError naming the key that does not fit.
    """
    if stride_in not in set(StrideIn):
        raise ValueError(f"model.stride_in={stride_in}: use one of {', '.join(StrideIn)}")
    if zero_padding is not ZeroPadding.after and shortcut is not Shortcut.A:
        raise ValueError(
            f"model.zero_padding={zero_padding}: only shortcut=A pads zeros, not "
            f"shortcut={shortcut}"
        )
    if family is Family.imagenet:
        net = imagenet(
            depth,
            shortcut=shortcut,
            num_classes=1000 if num_classes is None else num_classes,
            stem=stem or Stem.imagenet,
            stride_in=StrideIn(stride_in),
            groups=groups,
            width_per_group=width_per_group,
        )
    elif stem is Stem.imagenet or (groups, width_per_group) != (1, 64):
        raise ValueError(
            "model.stem, model.groups and model.width_per_group belong to ImageNet's "
            "networks, such as model=resnet18"
        )
    else:
        classes = 10 if num_classes is None else num_classes
        net = cifar(depth, shortcut=shortcut, num_classes=classes)
    return replace(net, zero_padding=zero_padding)

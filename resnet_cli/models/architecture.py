"""Network architectures as data: section 4.2 (CIFAR-10) and Table 1 (ImageNet) of the paper."""

from dataclasses import dataclass
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

    basic = "basic"  # 3x3, 3x3; or another number of layers
    bottleneck = "bottleneck"  # 1x1, 3x3, 1x1 (x4)


class StrideIn(StrEnum):
    """Which convolution of a bottleneck has stride 2."""

    first = "1x1"  # the paper: 3.8e9 multiply-adds for 50 layers
    middle = "3x3"  # torchvision and most later code: 4.1e9


class ZeroPadding(StrEnum):
    """Where shortcut A puts the zeros that are its new channels."""

    after = "after"  # behind the old channels: the paper's, and fb.resnet.torch's
    both = "both"  # half of them before, half behind: akamaster's and its many copies


class Activation(StrEnum):
    """Where BN and ReLU stand (He et al. 2016, Identity Mappings in Deep Residual Networks)."""

    post = "post"  # behind each convolution, the last ReLU behind the addition: the paper's
    pre = "pre"  # before each convolution, so that nothing is on the way of the identity


class Family(StrEnum):
    """Families of networks, which assign blocks to a depth differently."""

    cifar = "cifar"  # section 4.2
    imagenet = "imagenet"  # Table 1
    wide = "wide"  # cifar, several times as wide: Zagoruyko and Komodakis 2016
    # to compare with: models/comparison.py
    alexnet = "alexnet"  # Krizhevsky 2014
    vgg = "vgg"  # Simonyan and Zisserman 2015
    googlenet = "googlenet"  # Szegedy et al. 2015
    densenet = "densenet"  # Huang et al. 2017


EXPANSION = {Block.basic: 1, Block.bottleneck: 4}

LAYERS_PER_BLOCK = (1, 2, 3, 4)  # that model.layers_per_block may be

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
    activation: Activation = Activation.post
    layers_per_block: int = 2  # of basic blocks
    stem_width: int | None = None  # None: as wide as the first stage

    @property
    def stem_channels(self) -> int:
        """Filters of the stem."""
        return self.widths[0] if self.stem_width is None else self.stem_width

    @property
    def spans_one_layer(self) -> bool:
        """Whether its shortcuts span a single layer, not two or three (section 3.2)."""
        return self.block_depth == 1 and self.shortcut is not Shortcut.none

    @property
    def block_depth(self) -> int:
        """Convolutions of a block, in a row."""
        return self.layers_per_block if self.block is Block.basic else 3

    @property
    def depth(self) -> int:
        """Weighted layers on the longest path, as the paper counts them: stem, blocks and fc.

        Those of Wide ResNets are two more, as their authors count.
        """
        return self.block_depth * sum(self.blocks) + (2 if self.stem_width is None else 4)

    @property
    def name(self) -> str:
        """`plain56` or `resnet56-A`: the name in run folders, tables and plots."""
        plain, pre = self.shortcut is Shortcut.none, self.activation is Activation.pre
        kind = "plain" if plain else "preact" if pre else "resnet"
        more = []
        if self.stem_width is not None:
            kind = kind if plain else "wrn" if pre else "wide"
            more.append(str(self.widths[0] // self.stem_width))
        if plain and pre:
            more.append("preact")
        if self.block is Block.bottleneck and len(self.blocks) == 3:  # ResNet-164, of 6n+2 layers
            more.append("bottleneck")
        if self.layers_per_block != 2:
            more.append(f"{self.layers_per_block}layer{'s' * (self.layers_per_block > 1)}")
        if (self.groups, self.width_per_group) != (1, 64):
            more.append(f"{self.groups}x{self.width_per_group}d")
        if not plain:
            more.append(str(self.shortcut))
        return "-".join([f"{kind}{self.depth}", *more])

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


def cifar(
    depth: int,
    *,
    shortcut: Shortcut,
    num_classes: int = 10,
    block: Block = Block.basic,
    activation: Activation = Activation.post,
    layers_per_block: int = 2,
) -> Architecture:
    """The network of section 4.2: 6n+2 layers on maps of 32, 16 and 8 pixels a side.

    With bottlenecks it has 9n+2, as in He et al. 2016. `layers_per_block` is what a shortcut of a
    basic block spans. Raises ValueError if the layers do not divide into three stages of blocks.
    """
    per_n, examples = (6, "20, 32, 44, 56, 110, 1202") if block is Block.basic else (9, "164, 1001")
    n, rest = divmod(depth - 2, per_n)
    if rest or n < 1:
        least = per_n + 2
        below = max(least, per_n * n + 2)
        near = f"{below} or {below + per_n}" if n >= 1 else f"{least}"
        raise ValueError(
            f"model.depth={depth}: a CIFAR network has {per_n}n+2 layers ({examples}, ...); "
            f"nearest: {near}"
        )
    return Architecture(
        stem=Stem.cifar,
        block=block,
        blocks=(_blocks(n, block=block, layers_per_block=layers_per_block),) * 3,
        widths=(16, 32, 64),
        shortcut=shortcut,
        num_classes=num_classes,
        activation=activation,
        layers_per_block=layers_per_block,
    )


def _blocks(n: int, *, block: Block, layers_per_block: int) -> int:
    """How many blocks share the 2n (basic) or 3n layers of a stage. Raises ValueError."""
    if layers_per_block not in LAYERS_PER_BLOCK:
        choices = ", ".join(map(str, LAYERS_PER_BLOCK))
        raise ValueError(f"model.layers_per_block={layers_per_block}: use one of {choices}")
    if block is Block.bottleneck:
        return n
    if 2 * n % layers_per_block:
        raise ValueError(
            f"model.layers_per_block={layers_per_block}: the {2 * n} layers of a stage are no "
            f"multiple of it; say model.depth={6 * layers_per_block + 2}, for example"
        )
    return 2 * n // layers_per_block


def wide(
    depth: int,
    *,
    widen: int,
    shortcut: Shortcut,
    num_classes: int = 10,
    activation: Activation = Activation.pre,
) -> Architecture:
    """WRN-`depth`-`widen` (Zagoruyko and Komodakis 2016): section 4.2's stages `widen` times as
    wide, 6n+4 layers as its authors count.

    Raises ValueError if `depth` is not 6n+4.
    """
    n, rest = divmod(depth - 4, 6)
    if rest or n < 1:
        raise ValueError(f"model.depth={depth}: a Wide ResNet has 6n+4 layers (16, 28, 40, ...)")
    if widen < 1:
        raise ValueError(f"model.widen={widen}: must be at least 1")
    return Architecture(
        stem=Stem.cifar,
        block=Block.basic,
        blocks=(n, n, n),
        widths=(16 * widen, 32 * widen, 64 * widen),
        shortcut=shortcut,
        num_classes=num_classes,
        activation=activation,
        stem_width=16,
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

"""Networks to compare with, as data: what came before and after ResNet, as torchvision has it."""

from dataclasses import dataclass

from resnet_cli.models.architecture import Architecture, Family, Shortcut, Stem

COMPARED = (Family.alexnet, Family.vgg, Family.googlenet, Family.densenet)

# depth -> convolutions of each stage
VGG_STAGES = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
# depth -> layers of each dense block
DENSENET_BLOCKS = {
    121: (6, 12, 24, 16),
    169: (6, 12, 32, 32),
    201: (6, 12, 48, 32),
    264: (6, 12, 64, 48),
}
_DEPTHS = {
    Family.alexnet: (8,),
    Family.vgg: tuple(VGG_STAGES),
    Family.googlenet: (22,),
    Family.densenet: tuple(DENSENET_BLOCKS),
}
# sides of the smallest images that leave a map behind the last pooling
_LEAST = {Family.alexnet: 63, Family.vgg: 32, Family.googlenet: 32, Family.densenet: 32}
_DEVIATIONS = {
    Family.alexnet: "torchvision's AlexNet is that of 'One weird trick' (Krizhevsky 2014), without "
    "groups or local response normalization; the network of 2012 has 60,965,224 parameters",
    Family.vgg: "the 15.3e9 that the paper quotes for VGG-16 are its convolutions alone, "
    "15,346.6M, the 19.6e9 for VGG-19 are with its fc layers; BN came later",
    Family.googlenet: "torchvision's GoogLeNet has BN, and 3x3 convolutions where the paper's are "
    "5x5; without the auxiliary classifiers",
    Family.densenet: "of growth rate 32; torchvision has no builder for 264 layers, which are "
    "DenseNet(32, (6, 12, 64, 48), 64) here",
}


def vgg_width(stage: int) -> int:
    """Filters of VGG's convolutions in a stage, from 1."""
    return min(512, 32 * 2**stage)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A network of another paper. Plain values only, so that a checkpoint can hold it."""

    family: Family
    depth: int  # as its authors count
    num_classes: int
    image_size: int  # side of the images it is made for: 224, or 32 with a head for CIFAR-10
    batch_norm: bool = False  # of VGG

    @property
    def name(self) -> str:
        """`vgg16_bn`: by torchvision's names."""
        depth = self.depth if self.family in (Family.vgg, Family.densenet) else ""
        return f"{self.family}{depth}{'_bn' if self.batch_norm else ''}"

    @property
    def shortcut(self) -> Shortcut:
        """None of the paper's."""
        return Shortcut.none

    @property
    def stem(self) -> Stem:
        """Which data set's images it is made for."""
        return Stem.cifar if self.image_size == 32 else Stem.imagenet

    @property
    def has_dropout(self) -> bool:
        """Whether training drops activations at random."""
        if self.family is Family.vgg:
            return self.image_size != 32  # the head for CIFAR-10 is a single layer
        return self.family is not Family.densenet

    @property
    def deviation(self) -> str:
        """What differs from the paper that introduced it, or from the counts people quote."""
        return _DEVIATIONS[self.family]


AnyNetwork = Architecture | Comparison


def make_comparison(
    family: Family,
    depth: int,
    *,
    batch_norm: bool = False,
    shortcut: Shortcut = Shortcut.none,
    num_classes: int | None = None,
    image_size: int | None = None,
) -> Comparison:
    """A network to compare with, for images of `image_size` pixels a side; None: 224.

    Raises ValueError naming the key that does not fit.
    """
    if depth not in _DEPTHS[family]:
        raise ValueError(
            f"model.depth={depth}: {family} has {', '.join(map(str, _DEPTHS[family]))} layers"
        )
    if shortcut is not Shortcut.none:
        raise ValueError(f"shortcut={shortcut}: {family} has none of the paper's shortcuts")
    side = 224 if image_size is None else image_size
    if side < _LEAST[family]:
        raise ValueError(
            f"model.family={family}: its last map would be empty for images of {side}x{side}, the "
            f"least is {_LEAST[family]}; the networks for 32x32 include vgg16_bn and resnet20"
        )
    small = side == 32
    classes = (10 if small else 1000) if num_classes is None else num_classes
    return Comparison(
        family=family,
        depth=depth,
        num_classes=classes,
        image_size=32 if small else 224,
        batch_norm=batch_norm,
    )

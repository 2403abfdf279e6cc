"""From the keys of `model` to the network they describe, of whatever family it is."""

from dataclasses import replace

from resnet_cli.models.architecture import (
    Activation,
    Block,
    Family,
    Shortcut,
    Stem,
    StrideIn,
    ZeroPadding,
    cifar,
    imagenet,
    wide,
)
from resnet_cli.models.comparison import COMPARED, AnyNetwork, make_comparison

# Keys of `model` that belong to some families alone, and what they are where nothing is said.
_OWN: dict[str, tuple[object, tuple[Family, ...]]] = {
    "stem": (None, (Family.imagenet,)),
    "groups": (1, (Family.imagenet,)),
    "width_per_group": (64, (Family.imagenet,)),
    "block": (None, (Family.cifar,)),
    "layers_per_block": (2, (Family.cifar,)),
    "activation": (Activation.post, (Family.cifar, Family.wide)),
    "widen": (1, (Family.wide,)),
    "batch_norm": (False, (Family.vgg,)),
}
_EXAMPLES = {
    (Family.imagenet,): "ImageNet's networks, such as model=resnet18",
    (Family.cifar,): "section 4.2's networks, such as model=resnet20",
    (Family.cifar, Family.wide): "CIFAR-10's networks, such as model=resnet20",
    (Family.vgg,): "VGG, as in model=vgg16_bn",
    (Family.wide,): "Wide ResNets, such as model=wrn16_8",
}


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
    block: Block | None = None,
    activation: Activation = Activation.post,
    layers_per_block: int = 2,
    widen: int = 1,
    batch_norm: bool = False,
    image_size: int | None = None,
) -> AnyNetwork:
    """The network of a family; its arguments are the keys of `model`, None the family's own.

    `image_size`: side of the images, where they are not those it is made for. Raises ValueError
    naming the key that does not fit.
    """
    if stride_in not in set(StrideIn):
        raise ValueError(f"model.stride_in={stride_in}: use one of {', '.join(StrideIn)}")
    if zero_padding is not ZeroPadding.after and shortcut is not Shortcut.A:
        raise ValueError(
            f"model.zero_padding={zero_padding}: only shortcut=A pads zeros, not "
            f"shortcut={shortcut}"
        )
    given = {
        "stem": None if stem is Stem.cifar else stem,
        "groups": groups,
        "width_per_group": width_per_group,
        "block": block,
        "layers_per_block": layers_per_block,
        "activation": activation,
        "widen": widen,
        "batch_norm": batch_norm,
    }
    for key, (usual, families) in _OWN.items():
        if given[key] != usual and family not in families:
            raise ValueError(f"model.{key}={given[key]}: belongs to {_EXAMPLES[families]}")
    if family in COMPARED:
        return make_comparison(
            family,
            depth,
            batch_norm=batch_norm,
            shortcut=shortcut,
            num_classes=num_classes,
            image_size=image_size,
        )
    classes = (1000 if family is Family.imagenet else 10) if num_classes is None else num_classes
    if family is Family.imagenet:
        net = imagenet(
            depth,
            shortcut=shortcut,
            num_classes=classes,
            stem=stem or Stem.imagenet,
            stride_in=StrideIn(stride_in),
            groups=groups,
            width_per_group=width_per_group,
        )
    elif family is Family.wide:
        net = wide(
            depth, widen=widen, shortcut=shortcut, num_classes=classes, activation=activation
        )
    else:
        if block is Block.bottleneck and layers_per_block != 2:
            raise ValueError(
                f"model.layers_per_block={layers_per_block}: a bottleneck has three layers"
            )
        if activation is Activation.pre and layers_per_block != 2:
            raise ValueError(
                f"model.layers_per_block={layers_per_block}: belongs to model.activation=post"
            )
        net = cifar(
            depth,
            shortcut=shortcut,
            num_classes=classes,
            block=block or Block.basic,
            activation=activation,
            layers_per_block=layers_per_block,
        )
        net = replace(net, stride_in=StrideIn(stride_in)) if block is Block.bottleneck else net
    return replace(net, zero_padding=zero_padding)

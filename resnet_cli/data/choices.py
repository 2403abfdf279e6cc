"""Choices about data, as words of the command line.

Imports nothing of ours, so that parsing a command line stays quick.
"""

from enum import StrEnum


class DatasetName(StrEnum):
    """A data set; `imagenet` stands for any folder of classes."""

    cifar10 = "cifar10"
    cifar100 = "cifar100"
    imagenet = "imagenet"
    synthetic = "synthetic"


# training images of the data sets that are always the same, a held-out part of them included
TRAINING_IMAGES = {
    DatasetName.cifar10: 50_000,
    DatasetName.cifar100: 50_000,
    DatasetName.synthetic: 10_000,
}


class OnError(StrEnum):
    """What to do when an image cannot be decoded."""

    stop = "stop"
    skip = "skip"


class Normalization(StrEnum):
    """What the pixels are shifted and scaled by before the network sees them."""

    # mean only: per pixel over CIFAR-10's training split (section 4.2), per channel for ImageNet
    paper = "paper"
    cifar = "cifar"  # per channel, CIFAR-10's mean and std
    # per channel, ImageNet's mean and std: torchvision's weights, and many for CIFAR-10
    # (akamaster's, for one)
    imagenet = "imagenet"


class Augmentation(StrEnum):
    """How training crops are chosen."""

    # ImageNet: shorter side in [256, 480], 224 crop, flip, PCA color noise (section 3.4).
    # CIFAR-10: 4 pixels of padding, 32 crop, flip (section 4.2).
    paper = "paper"
    # ImageNet only: random area and aspect ratio, flip (Szegedy et al. 2015; torchvision)
    inception = "inception"

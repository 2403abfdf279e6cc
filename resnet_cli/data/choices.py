"""What can be chosen of data, as words of the command line. Imports nothing, so that reading a
command line stays quick.
"""

from enum import StrEnum


class DatasetName(StrEnum):
    """A data set, or for `imagenet` any folder of classes."""

    cifar10 = "cifar10"
    imagenet = "imagenet"
    synthetic = "synthetic"


# training images of the data sets that are always the same, a held-out part of them included
TRAINING_IMAGES = {DatasetName.cifar10: 50_000, DatasetName.synthetic: 10_000}


class OnError(StrEnum):
    """What to do at an image that cannot be decoded."""

    stop = "stop"
    skip = "skip"


class Normalization(StrEnum):
    """What is subtracted from (and divides) the pixels before the network sees them."""

    # the mean: of CIFAR-10's training split per pixel (section 4.2), of ImageNet per channel
    paper = "paper"
    cifar = "cifar"  # per channel, CIFAR-10's mean and std
    # per channel, ImageNet's mean and std: torchvision's weights, and akamaster's and many others'
    # for CIFAR-10
    imagenet = "imagenet"


class Augmentation(StrEnum):
    """How training crops are chosen."""

    # ImageNet: shorter side in [256, 480], a 224 crop, PCA colour noise. CIFAR-10: pad 4, a 32
    # crop. Both: a flip
    paper = "paper"
    # ImageNet alone: a random area and aspect ratio, resized; a flip (Szegedy et al. 2015;
    # torchvision's recipe)
    inception = "inception"

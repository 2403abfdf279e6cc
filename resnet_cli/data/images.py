"""A data set: its splits, as uint8 images in memory or as files, and how pixels are normalized."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from resnet_cli.data.choices import Normalization
from resnet_cli.data.samples import Samples

CHANNELS: dict[Normalization, tuple[tuple[float, ...], tuple[float, ...]]] = {
    Normalization.cifar: ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    Normalization.imagenet: ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


@dataclass(frozen=True)
class Split:
    """Labeled images in memory: `images` uint8 [N, 3, H, W], `labels` int64 [N]."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, part: slice) -> "Split":
        return Split(self.images[part], self.labels[part])

    def to(self, device: torch.device) -> "Split":
        """A copy on `device`."""
        return Split(self.images.to(device), self.labels.to(device))


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """The splits of one data set.

    `validation` is held out of CIFAR-10's training images, or is ImageNet's val folder: the labels
    of its test images are not public.
    """

    name: str
    classes: tuple[str, ...]
    image_size: int  # side of the training images, in pixels
    train: Split | Samples
    test: Split | Samples | None
    validation: Split | Samples | None = None
    remarks: tuple[str, ...] = ()  # on how the data differs from what one may expect

    def relabelled(self, outputs: Sequence[int]) -> "Dataset":
        """The same images, each class under the number that `outputs` has for it."""
        numbers = torch.tensor(outputs)

        def part(split: Split | Samples | None) -> Split | Samples | None:
            if isinstance(split, Split):
                return Split(split.images, numbers[split.labels])
            return split and replace(split, labels=numbers.numpy()[split.labels])

        train = part(self.train)
        assert train is not None
        return replace(self, train=train, test=part(self.test), validation=part(self.validation))

    @property
    def held_out(self) -> dict[str, Split | Samples]:
        """The splits that errors are measured on, by the names `val` and `test`."""
        return {
            name: split
            for name, split in (("val", self.validation), ("test", self.test))
            if split is not None
        }


@dataclass(frozen=True)
class Normalizer:
    """Turns uint8 pixels into the network's input: (x / 255 - mean) / std.

    `mean` and `std` are float32 [3, H, W] (per pixel) or [3, 1, 1] (per channel). Caffe, which the
    paper used, leaves pixels in 0..255; BN after the first convolution cancels that factor.
    """

    mean: Tensor
    std: Tensor

    def __call__(self, images: Tensor) -> Tensor:
        return (images / 255).sub_(self.mean).div_(self.std)

    def undo(self, images: Tensor) -> Tensor:
        """Pixels in 0..1 for people to look at, of images [N, 3, H, W] as the network sees them.

        Each channel is scaled and shifted as a whole: where the mean is per pixel, its average is
        added, as a crop has moved the pixels from where theirs was subtracted.
        """
        mean, std = (one.mean(dim=(1, 2), keepdim=True) for one in (self.mean, self.std))
        return (images * std + mean).clamp(0, 1)

    def to(self, device: torch.device) -> "Normalizer":
        """A copy on `device`."""
        return Normalizer(self.mean.to(device), self.std.to(device))


def fit_normalizer(kind: Normalization, train: Split | Samples) -> Normalizer:
    """The normalizer of a run, measured on `train` alone: no validation or test image counts.

    Photographs are cropped anywhere and tested at several sizes, so for them `paper` means one mean
    per channel, ImageNet's.
    """
    if kind is Normalization.paper and isinstance(train, Samples):
        return Normalizer(
            torch.tensor(CHANNELS[Normalization.imagenet][0]).view(3, 1, 1), torch.ones(3, 1, 1)
        )
    if kind is Normalization.paper:
        assert isinstance(train, Split)
        total = torch.zeros(train.images.shape[1:], dtype=torch.int64)
        for chunk in train.images.split(5000):
            total += chunk.sum(dim=0, dtype=torch.int64)  # exact in any order
        return Normalizer((total.double() / (255 * len(train))).float(), torch.ones(3, 1, 1))
    mean, std = CHANNELS[kind]
    return Normalizer(torch.tensor(mean).view(3, 1, 1), torch.tensor(std).view(3, 1, 1))

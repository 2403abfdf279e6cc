"""The classes a network thinks most likely, by names a person can read."""

import re
from collections.abc import Sequence

from torch import Tensor

WNID_OR_NUMBER = re.compile(r"n\d{8}|\d{1,3}")


def top(scores: Tensor, classes: Sequence[str], k: int = 5) -> list[tuple[str, float]]:
    """The `k` likeliest classes of one image (all of them where there are fewer), likeliest first, with their probabilities.

    `scores` [classes] are softmax probabilities.
    """
    assert scores.shape == (len(classes),), (scores.shape, len(classes))
    values, indices = scores.float().topk(min(k, len(classes)))
    return [(classes[index], value) for index, value in zip(indices.tolist(), values.tolist(), strict=True)]


def names_of(classes: Sequence[str]) -> tuple[str, ...]:
    """ImageNet's 1,000 classes in words ("tench"), where `classes` are its wnids in order or mere numbers; else `classes` themselves."""
    if len(classes) != 1000 or not all(WNID_OR_NUMBER.fullmatch(name) for name in classes):
        return tuple(classes)
    from torchvision.models import ResNet50_Weights  # here: importing every network of torchvision takes a second

    return tuple(ResNet50_Weights.DEFAULT.meta["categories"])

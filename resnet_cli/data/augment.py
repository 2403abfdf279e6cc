"""The paper's augmentation, drawn per image but applied to the whole batch on its device.

CIFAR-10's (section 4.2) and, for ImageNet, what follows the crop (section 3.4).
"""

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import pad

from resnet_cli.data.sampling import mix, sample_hashes, uniform
from resnet_cli.runtime.device import is_limited

# Principal components of ImageNet's RGB pixels in 0..1 (Krizhevsky et al. 2012, section 4.1), as
# computed by fb.resnet.torch.
PCA_VALUES = (0.2175, 0.0188, 0.0045)
# one row per color, one column per component
PCA_VECTORS = ((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203))
PCA_STD = 0.1
_FLIP_STREAM, _PCA_STREAM = 1, 2  # of the random bits of a sample

_PADDING = 4
_OFFSETS = 2 * _PADDING + 1  # 0..8: the crop reaches both borders


def draw_crops_and_flips(
    indices: Tensor, epochs: Tensor, *, seed: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Draws top and left of each crop (0..8 in the padded image), and whether to flip it.

    `indices` and `epochs` are int64 [N]. Returns int64, int64 and bool [N], functions of (seed,
    epoch, image).
    """
    bits = sample_hashes(indices, epochs, seed=seed)
    return (
        uniform(bits, _OFFSETS, lowest=0),
        uniform(bits, _OFFSETS, lowest=20),
        uniform(bits, 2, lowest=40).bool(),
    )


def crop_and_flip(images: Tensor, *, top: Tensor, left: Tensor, flip: Tensor) -> Tensor:
    """Pads by 4 pixels, crops to the original size at (top, left), and mirrors where `flip`.

    `images` are float [N, C, H, W] and already normalized, so that the padding of 0 is the mean.
    Returns the same shape in channels_last memory (section 4.2).
    """
    height, width = images.shape[2:]
    # a view of shape [N, C, top, left, H, W]
    windows = pad(images, (_PADDING,) * 4).unfold(2, height, 1).unfold(3, width, 1)
    cropped = windows[torch.arange(len(images), device=images.device), :, top, left]
    flipped = torch.where(flip[:, None, None, None], cropped.flip(3), cropped)
    return flipped.contiguous(memory_format=torch.channels_last)


def flip_half(images: Tensor, hashes: Tensor) -> Tensor:
    """Mirrors about half of the images [N, C, H, W], chosen by their `hashes` int64 [N]."""
    flip = mix(hashes, _FLIP_STREAM) & 1
    return torch.where(flip.bool()[:, None, None, None], images.flip(3), images)


def color_noise(hashes: Tensor) -> Tensor:
    """AlexNet's PCA color noise, to be added to the pixels (0..1) of each image.

    `hashes` int64 [N] -> float32 [N, 3, 1, 1]: the sum over components of alpha x value x vector,
    where alpha ~ N(0, 0.1) is drawn per image and component (Krizhevsky et al. 2012, section 4.1).
    """
    streams = _PCA_STREAM + torch.arange(3, device=hashes.device).expand(len(hashes), -1)
    alpha = PCA_STD * normal(mix(hashes[:, None].expand_as(streams), streams))
    values, vectors = _principal_components(hashes.device)
    return ((alpha * values) @ vectors.T)[:, :, None, None]


@lru_cache
def _principal_components(device: torch.device) -> tuple[Tensor, Tensor]:
    """PCA_VALUES and PCA_VECTORS on a device.

    Copied there once: a captured step must not wait for the host.
    """
    return torch.tensor(PCA_VALUES, device=device), torch.tensor(PCA_VECTORS, device=device)


def normal(bits: Tensor) -> Tensor:
    """Draws from N(0, 1), one per element of 64 random bits (Box and Muller 1958).

    int64 -> float32 of the same shape.
    """
    wide = torch.float32 if is_limited(bits.device) else torch.float64
    radius = ((bits & 0xFFFFFF) + 1).to(wide) / 2**24  # in (0, 1]: the logarithm is finite
    angle = ((bits >> 24) & 0xFFFFFF).to(wide) / 2**24
    return ((-2 * radius.log()).sqrt() * torch.cos(2 * torch.pi * angle)).float()

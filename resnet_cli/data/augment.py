"""The paper's augmentation, a draw per image, for the whole batch at once on its device.

CIFAR-10's (section 4.2), and what follows the crop of ImageNet's (section 3.4).
"""

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import pad

from resnet_cli.data.sampling import mix, sample_hashes, uniform

# The principal components of ImageNet's RGB pixels in 0..1 (Krizhevsky et al. 2012, section 4.1),
# with fb.resnet.torch's values.
PCA_VALUES = (0.2175, 0.0188, 0.0045)
# a row a colour, a column a component
PCA_VECTORS = ((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203))
PCA_STD = 0.1
FLIP_STREAM, PCA_STREAM = 1, 2

PADDING = 4
OFFSETS = 2 * PADDING + 1  # 0..8: the crop reaches both borders


def draw_crops_and_flips(
    indices: Tensor, epochs: Tensor, *, seed: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Top and left of each crop (0..8 in the padded image) and whether to flip: three [N],
    functions of (seed, epoch, image).
    """
    bits = sample_hashes(indices, epochs, seed=seed)
    return (
        uniform(bits, OFFSETS, lowest=0),
        uniform(bits, OFFSETS, lowest=20),
        uniform(bits, 2, lowest=40).bool(),
    )


def crop_and_flip(images: Tensor, top: Tensor, left: Tensor, flip: Tensor) -> Tensor:
    """Pads by 4, crops back to the size at (top, left), mirrors left and right where `flip`.

    `images` float [N, C, H, W], already normalised: the padding is 0, which is the mean. Returns
    the same shape in channels_last memory.
    """
    height, width = images.shape[2:]
    # a view: [N, C, top, left, H, W]
    windows = pad(images, (PADDING,) * 4).unfold(2, height, 1).unfold(3, width, 1)
    cropped = windows[torch.arange(len(images), device=images.device), :, top, left]
    flipped = torch.where(flip[:, None, None, None], cropped.flip(3), cropped)
    return flipped.contiguous(memory_format=torch.channels_last)


def flip_some(images: Tensor, hashes: Tensor) -> Tensor:
    """Mirrors half of the images [N, C, H, W] left and right; which, says a bit of each one's
    hash.
    """
    flip = mix(hashes, FLIP_STREAM) & 1
    return torch.where(flip.bool()[:, None, None, None], images.flip(3), images)


def colour_noise(hashes: Tensor) -> Tensor:
    """AlexNet's PCA noise: what is added to every pixel of an image, in 0..1: float32 [N, 3, 1, 1].

    The sum over components of vector x value x alpha, alpha ~ N(0, 0.1) for each image and
    component.
    """
    streams = PCA_STREAM + torch.arange(3, device=hashes.device).expand(len(hashes), -1)
    alpha = PCA_STD * normal(mix(hashes[:, None].expand_as(streams), streams))
    values, vectors = principal_components(hashes.device)
    return ((alpha * values) @ vectors.T)[:, :, None, None]


@lru_cache
def principal_components(device: torch.device) -> tuple[Tensor, Tensor]:
    """PCA_VALUES and PCA_VECTORS on a device, copied there once: a captured step must not wait
    for the host.
    """
    return torch.tensor(PCA_VALUES, device=device), torch.tensor(PCA_VECTORS, device=device)


def normal(bits: Tensor) -> Tensor:
    """A draw from N(0, 1) out of 64 random bits, element by element (Box and Muller 1958):
    int64 -> float32.
    """
    radius = ((bits & 0xFFFFFF) + 1).double() / 2**24  # in (0, 1], so that its logarithm is finite
    angle = ((bits >> 24) & 0xFFFFFF).double() / 2**24
    return ((-2 * radius.log()).sqrt() * torch.cos(2 * torch.pi * angle)).float()

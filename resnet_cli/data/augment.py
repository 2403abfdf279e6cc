"""The paper's CIFAR augmentation (section 4.2), a draw per image, for the whole batch at once on its device."""

import torch
from torch import Tensor
from torch.nn.functional import pad

from resnet_cli.data.sampling import mix, uniform

PADDING = 4
OFFSETS = 2 * PADDING + 1  # 0..8: the crop reaches both borders


def draw_crops_and_flips(indices: Tensor, epochs: Tensor, *, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Top and left of each crop (0..8 in the padded image) and whether to flip: three [N], functions of (seed, epoch, image)."""
    bits = mix(mix(mix(torch.zeros_like(indices), seed), epochs), indices)
    return uniform(bits, OFFSETS, lowest=0), uniform(bits, OFFSETS, lowest=20), uniform(bits, 2, lowest=40).bool()


def crop_and_flip(images: Tensor, top: Tensor, left: Tensor, flip: Tensor) -> Tensor:
    """Pads by 4, crops back to the size at (top, left), mirrors left and right where `flip`.

    `images` float [N, C, H, W], already normalised: the padding is 0, which is the mean. Returns the same shape in
    channels_last memory.
    """
    n, _, height, width = images.shape
    y = torch.arange(height, device=images.device)
    x = torch.arange(width, device=images.device)
    rows = top[:, None] + y
    columns = left[:, None] + torch.where(flip[:, None], width - 1 - x, x)
    padded = pad(images, (PADDING,) * 4).permute(0, 2, 3, 1)
    every = torch.arange(n, device=images.device)
    cropped = padded[every[:, None, None], rows[:, :, None], columns[:, None, :]]  # [N, H, W, C]
    return cropped.permute(0, 3, 1, 2)

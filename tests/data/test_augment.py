"""Crop and flip against a naive per-image loop; offsets by histogram; the border is the mean."""

import pytest
import torch

from resnet_cli.data.augment import crop_and_flip, draw_crops_and_flips
from resnet_cli.data.choices import Normalization
from resnet_cli.data.images import Split, fit_normalizer
from resnet_cli.data.resident import ResidentLoader
from resnet_cli.data.sampling import batch_indices
from tests.helpers.numbers import assert_same

pytestmark = pytest.mark.numerical


def naive(image: torch.Tensor, top: int, left: int, flip: bool) -> torch.Tensor:
    """One image [C, H, W], pixel by pixel."""
    _, height, width = image.shape
    out = torch.zeros_like(image)
    for row in range(height):
        for column in range(width):
            y, x = top + row - 4, left + column - 4
            if 0 <= y < height and 0 <= x < width:
                out[:, row, width - 1 - column if flip else column] = image[:, y, x]
    return out


def test_crop_and_flip_against_a_loop() -> None:
    images = torch.randn(36, 3, 9, 7)
    top, left = torch.arange(36) % 9, torch.arange(36) // 4
    flip = torch.arange(36) % 2 == 1
    expected = [
        naive(image, int(t), int(lft), bool(f))
        for image, t, lft, f in zip(images, top, left, flip, strict=True)
    ]
    assert_same(crop_and_flip(images, top=top, left=left, flip=flip), torch.stack(expected))


def test_the_loader_is_the_loop_over_its_batch() -> None:
    split = Split(torch.randint(0, 256, (40, 3, 32, 32), dtype=torch.uint8), torch.arange(40))
    normalizer = fit_normalizer(Normalization.paper, split)
    loader = ResidentLoader(split=split, normalizer=normalizer, batch_size=16, seed=5)
    for iteration in (0, 2, 7):  # the 2nd batch crosses an epoch's end
        images, labels = loader.batch(iteration)
        indices, epochs = batch_indices(iteration, batch_size=16, count=40, seed=5)
        assert_same(labels, indices)
        for image, index, epoch in zip(images, indices, epochs, strict=True):
            top, left, flip = (
                int(draw) for draw in draw_crops_and_flips(index[None], epoch[None], seed=5)
            )
            plain = split.images[index].float() / 255 - normalizer.mean
            assert_same(image, naive(plain, top, left, bool(flip)))


def test_every_offset_and_both_sides_come_equally_often() -> None:
    n = 81 * 1000
    top, left, flip = draw_crops_and_flips(torch.arange(n) % 5000, torch.arange(n) // 5000, seed=1)
    cells = torch.bincount(top * 9 + left, minlength=81).double()
    assert len(cells) == 81  # 0..8 both ways, nothing beyond
    chi_square = ((cells - 1000) ** 2 / 1000).sum().item()
    assert chi_square < 135  # 80 degrees of freedom: 1 in 10,000 is above
    assert abs(flip.double().mean().item() - 0.5) < 0.01


def test_each_image_of_a_batch_has_a_draw_of_its_own_and_a_new_one_each_epoch() -> None:
    same = torch.zeros(64, dtype=torch.int64)
    by_image = torch.stack(draw_crops_and_flips(torch.arange(64), same, seed=0)).T
    by_epoch = torch.stack(draw_crops_and_flips(same, torch.arange(64), seed=0)).T
    by_seed = torch.stack(
        [
            torch.stack(draw_crops_and_flips(same[:1], same[:1], seed=seed))[:, 0]
            for seed in range(64)
        ]
    )
    for draws in (by_image, by_epoch, by_seed):
        assert len({tuple(draw) for draw in draws.tolist()}) > 40  # of 162 possible


def test_the_border_is_the_mean() -> None:
    """An image that is the mean everywhere stays 0 wherever it is cropped."""
    split = Split(
        torch.full((8, 3, 32, 32), 77, dtype=torch.uint8), torch.zeros(8, dtype=torch.int64)
    )
    normalizer = fit_normalizer(Normalization.paper, split)
    loader = ResidentLoader(split=split, normalizer=normalizer, batch_size=8, seed=0)
    images, _ = loader.batch(0)
    assert images.abs().max() < 1e-6

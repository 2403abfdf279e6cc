"""The training crops against resizing and cropping by hand, torchvision's, and the
distributions they should have.
"""

from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats
from torchvision.transforms import InterpolationMode, RandomResizedCrop
from torchvision.transforms import functional as usual

from resnet_cli.data.augment import (
    PCA_STD,
    PCA_VALUES,
    PCA_VECTORS,
    color_noise,
    flip_half,
    normal,
)
from resnet_cli.data.choices import Augmentation
from resnet_cli.data.crops import (
    crop_and_resize,
    crop_box,
    draw_bits,
    inception_box,
    paper_box,
    resized_size,
)
from resnet_cli.data.sampling import mix, sample_hashes


def photograph(width: int, height: int) -> Image.Image:
    """Smooth ground with fine noise on it."""
    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 200, width)[None, :, None] * np.linspace(0.2, 1, height)[:, None, None]
    return Image.fromarray((ramp + rng.integers(0, 55, (height, width, 3))).astype(np.uint8))


def hashes(count: int, *, epoch: int = 0, seed: int = 0) -> torch.Tensor:
    return sample_hashes(torch.arange(count), torch.full((count,), epoch), seed=seed)


@pytest.mark.numerical
@pytest.mark.parametrize(
    ("width", "height"), [(500, 375), (375, 500), (256, 256), (90, 640), (1200, 200)]
)
@pytest.mark.parametrize("size", [224, 64])
def test_a_crop_is_cut_from_the_resized_photograph(width: int, height: int, size: int) -> None:
    """The box, cut and resized at once, against resizing the whole and cropping: up to rounding."""
    picture = photograph(width, height)
    smallest, largest = round(size * 256 / 224), round(size * 480 / 224)
    for bits in draw_bits(hashes(6), Augmentation.paper):
        found = paper_box(width, height, bits=bits, image_size=size)
        # pixels of the photograph for one of the crop's, across
        side = (found[2] - found[0]) / size
        new_width, new_height = round(width / side), round(height / ((found[3] - found[1]) / size))
        assert smallest <= min(new_width, new_height) <= largest
        assert (new_width, new_height) == resized_size(
            width, height, shorter=min(new_width, new_height)
        )
        whole = usual.resize(picture, [min(new_width, new_height)])
        assert whole.size == (new_width, new_height)
        left, top = round(found[0] / width * new_width), round(found[1] / height * new_height)
        expected = np.asarray(whole.crop((left, top, left + size, top + size))).astype(int)
        difference = np.abs(crop_and_resize(picture, found, size=size) - expected)
        assert (
            difference.max() <= 2 and difference.mean() < 0.5
        )  # Pillow rounds between its two passes and keeps the box's edges in float32


def test_the_shorter_side_is_uniform_and_crops_reach_every_border() -> None:
    shorter, lefts, tops = [], [], []
    for bits in draw_bits(hashes(20_000), Augmentation.paper):
        left, top, _, bottom = paper_box(500, 375, bits=bits, image_size=224)
        side = round(375 * 224 / (bottom - top))
        shorter.append(side)
        width, height = resized_size(500, 375, shorter=side)
        lefts.append(round(left * width / 500) / (width - 224))
        tops.append(round(top * height / 375) / (height - 224))
    assert (min(shorter), max(shorter)) == (256, 480)
    counts = Counter(shorter)
    assert stats.chisquare([counts[side] for side in range(256, 481)]).pvalue > 1e-3
    for places in (lefts, tops):
        assert (min(places), max(places)) == (0, 1)
        assert np.mean(places) == pytest.approx(0.5, abs=0.01)
    # three draws, not one
    assert abs(np.corrcoef([shorter, lefts, tops])[np.triu_indices(3, 1)]).max() < 0.03


def test_the_inception_crop_is_distributed_as_torchvisions() -> None:
    picture, torch_seed = Image.new("RGB", (500, 375)), 0
    torch.manual_seed(torch_seed)
    # top, left, height, width
    theirs = [
        RandomResizedCrop.get_params(picture, [0.08, 1.0], [3 / 4, 4 / 3]) for _ in range(5000)
    ]
    ours = [
        inception_box(500, 375, attempts=attempts)
        for attempts in draw_bits(hashes(5000), Augmentation.inception)
    ]
    pairs = {
        "left": ([one[0] for one in ours], [one[1] for one in theirs]),
        "top": ([one[1] for one in ours], [one[0] for one in theirs]),
        "width": ([one[2] - one[0] for one in ours], [one[3] for one in theirs]),
        "height": ([one[3] - one[1] for one in ours], [one[2] for one in theirs]),
    }
    for name, (mine, other) in pairs.items():
        assert stats.ks_2samp(mine, other).pvalue > 1e-3, name


def test_the_inception_crop_of_a_strip_is_its_center() -> None:
    (attempts,) = draw_bits(hashes(1), Augmentation.inception)
    torch.manual_seed(0)
    top, left, height, width = RandomResizedCrop.get_params(
        Image.new("RGB", (1000, 20)), [0.08, 1.0], [3 / 4, 4 / 3]
    )
    assert (
        inception_box(1000, 20, attempts=attempts)
        == (left, top, left + width, top + height)
        == (486, 0, 513, 20)
    )


@pytest.mark.numerical
def test_the_inception_crop_is_resized_as_torchvision_does() -> None:
    picture = photograph(500, 375)
    for bits in draw_bits(hashes(5), Augmentation.inception):
        left, top, right, bottom = (
            int(edge)
            for edge in crop_box(picture, Augmentation.inception, bits=bits, image_size=224)
        )
        theirs = usual.resized_crop(
            picture, top, left, bottom - top, right - left, [224, 224], InterpolationMode.BILINEAR
        )
        mine = crop_and_resize(picture, (left, top, right, bottom), size=224).astype(int)
        # at the border ours sees what lies beyond
        assert np.abs(mine - np.asarray(theirs).astype(int))[2:-2, 2:-2].max() <= 1


def test_a_draw_belongs_to_seed_epoch_and_image() -> None:
    first = draw_bits(hashes(100), Augmentation.paper)
    assert first == draw_bits(hashes(100), Augmentation.paper)
    assert not set(first) & set(draw_bits(hashes(100, epoch=1), Augmentation.paper))
    assert not set(first) & set(draw_bits(hashes(100, seed=1), Augmentation.paper))


def test_half_of_the_images_are_mirrored() -> None:
    images = torch.arange(4000 * 3 * 2 * 4).view(4000, 3, 2, 4)
    done = flip_half(images, hashes(4000))
    kept, mirrored = (done == images).flatten(1).all(1), (done == images.flip(3)).flatten(1).all(1)
    assert (kept ^ mirrored).all()
    assert mirrored.sum().item() == pytest.approx(2000, abs=4 * np.sqrt(1000))


@pytest.mark.numerical
def test_color_noise_is_alexnets_formula() -> None:
    noise = color_noise(hashes(50_000))[:, :, 0, 0].double()
    vectors, values = np.array(PCA_VECTORS), np.array(PCA_VALUES)
    # the covariance of a sum of components
    expected = vectors @ np.diag((PCA_STD * values) ** 2) @ vectors.T
    np.testing.assert_allclose(np.cov(noise.T.numpy()), expected, rtol=0.03, atol=1e-7)
    assert noise.mean(dim=0).abs().max() < 4 * 0.02 / np.sqrt(50_000)
    # principal components stand upright on each other
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(3), atol=2e-3)
    (one,) = color_noise(hashes(1))[:, :, 0, 0].numpy()
    alpha = PCA_STD * np.array([normal(mix(hashes(1), stream)).item() for stream in (2, 3, 4)])
    by_hand = sum(alpha[i] * values[i] * vectors[:, i] for i in range(3))
    np.testing.assert_allclose(one, by_hand, rtol=1e-4, atol=1e-7)


@pytest.mark.numerical
def test_normal_is_normal() -> None:
    sample = normal(hashes(20_000)).numpy()
    assert stats.kstest(sample, "norm").pvalue > 1e-3

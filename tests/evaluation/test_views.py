"""Views cut as torchvision cuts them, and scores against a loop over single crops and single
positions.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import functional as reference

from resnet_cli.data.choices import Normalization
from resnet_cli.data.images import CHANNELS, Normalizer
from resnet_cli.evaluation.views import (
    center_crop,
    dense_scores,
    five_crop,
    image_to_tensor,
    multi_scale_scores,
    resize_shorter,
    scores_of,
    ten_crop_scores,
    window_of,
)
from resnet_cli.models.architecture import Architecture, Block, Shortcut, Stem, cifar
from resnet_cli.models.resnet import ResNet
from tests.helpers.numbers import assert_same

pytestmark = pytest.mark.numerical

FP32 = torch.float32
MEAN, STD = (torch.tensor(values).view(3, 1, 1) for values in CHANNELS[Normalization.imagenet])
NORMALIZER = Normalizer(MEAN, STD)
SMALL = Architecture(
    stem=Stem.imagenet,
    block=Block.bottleneck,
    blocks=(1, 1, 1, 1),
    widths=(8, 8, 16, 16),
    shortcut=Shortcut.B,
    num_classes=30,
)

# Of softmax scores in float32. The networks compute in float64: in float32 a batch and its images
# one by one go through other kernels, whose roundings a lively network makes grow.
CLOSE: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-6}


def normalized(images: Tensor) -> Tensor:
    """uint8 -> float64."""
    return NORMALIZER(images).double()


@pytest.fixture
def network() -> ResNet:
    return lively(SMALL)


def lively(architecture: Architecture) -> ResNet:
    """A network in eval mode whose BN has seen something and whose scores are far from uniform:
    logits and softmax average differently.
    """
    torch.manual_seed(0)
    network = ResNet(architecture)
    network.train()(torch.randn(8, 3, 64, 64))
    network.fc.weight.data *= 5
    return network.double().eval().to(memory_format=torch.channels_last)


def test_the_shorter_side_is_torchvisions(photographs: list[Image.Image]) -> None:
    for image in photographs:
        for side in (64, 73, 224, 256, 480):
            assert_same(
                image_to_tensor(resize_shorter(image, side)),
                reference.pil_to_tensor(reference.resize(image, side)),
            )


def test_crops_are_torchvisions(photographs: list[Image.Image]) -> None:
    for image in photographs:
        for side, size in ((256, 224), (224, 224), (73, 64), (64, 63)):
            resized = resize_shorter(image, side)
            five = [reference.pil_to_tensor(crop) for crop in reference.five_crop(resized, size)]
            assert_same(five_crop(resized, size), torch.stack(five))
            assert_same(
                center_crop(resized, size),
                reference.pil_to_tensor(reference.center_crop(resized, size))[None],
            )


def test_a_crop_larger_than_its_image_is_refused(photographs: list[Image.Image]) -> None:
    for cut in (center_crop, five_crop):
        with pytest.raises(ValueError, match="no crop of 224 pixels"):
            cut(resize_shorter(photographs[0], 223), 224)


def naive(network: ResNet, crops: list[Image.Image]) -> Tensor:
    """Softmax scores averaged over crops, one after the other: float32 [classes]."""
    with torch.inference_mode():
        views = [
            network(((reference.to_tensor(crop) - MEAN) / STD)[None].double()).softmax(dim=1)[0]
            for crop in crops
        ]
    return torch.stack(views).mean(dim=0).float()


def test_ten_crops_are_a_loop_over_five_and_their_mirror_images(
    network: ResNet, photographs: list[Image.Image]
) -> None:
    resized = [resize_shorter(image, 73) for image in photographs]
    fives = [reference.five_crop(image, 64) for image in resized]
    expected = [naive(network, [*five, *map(reference.hflip, five)]) for five in fives]
    ours = ten_crop_scores(
        network,
        normalized(torch.stack([five_crop(image, 64) for image in resized])),
        dtype=FP32,
    )
    assert ours.dtype == FP32
    torch.testing.assert_close(ours, torch.stack(expected), **CLOSE)


def test_ten_crops_are_torchvisions_where_the_margins_are_even(
    network: ResNet, photographs: list[Image.Image]
) -> None:
    for image in photographs:
        even = image.resize((100, 74))
        ours = ten_crop_scores(network, normalized(five_crop(even, 64)[None]), dtype=FP32)
        torch.testing.assert_close(ours[0], naive(network, reference.ten_crop(even, 64)), **CLOSE)


def test_a_single_crop_is_the_network_itself(
    network: ResNet, photographs: list[Image.Image]
) -> None:
    resized = [resize_shorter(image, 73) for image in photographs]
    ours = scores_of(
        network,
        normalized(torch.stack([center_crop(image, 64) for image in resized]))[:, 0],
        dtype=FP32,
    )
    expected = [naive(network, [reference.center_crop(image, 64)]) for image in resized]
    torch.testing.assert_close(ours, torch.stack(expected), **CLOSE)


def by_hand(network: ResNet, image: Tensor, *, window: int) -> Tensor:
    """float32 scores of one normalised image [3, H, W]: the window laid on every position of the
    last map, of the image and of its mirror image.
    """
    seen = []
    with torch.inference_mode():
        for view in (image, image.flip(-1)):
            (last,) = network.features(view[None])
            rows, columns = (max(1, side - window + 1) for side in last.shape[1:])
            for row in range(rows):
                for column in range(columns):
                    pooled = last[:, row : row + window, column : column + window].mean(dim=(1, 2))
                    seen.append(network.fc(pooled).softmax(dim=0))
    return torch.stack(seen).mean(dim=0).float()


@pytest.mark.parametrize("side", [48, 64, 150, 224])
def test_dense_is_a_loop_over_positions(
    network: ResNet, photographs: list[Image.Image], side: int
) -> None:
    window = window_of(network, 64)
    assert window == 2
    for image in photographs:
        pixels = normalized(image_to_tensor(resize_shorter(image, side)))
        ours = dense_scores(network, pixels[None], window=window, dtype=FP32)
        torch.testing.assert_close(ours[0], by_hand(network, pixels, window=window), **CLOSE)


def test_dense_scales_weigh_the_same(network: ResNet, photographs: list[Image.Image]) -> None:
    for image in photographs[:3]:
        scales = [
            normalized(image_to_tensor(resize_shorter(image, side))) for side in (64, 96, 160)
        ]
        expected = sum(by_hand(network, pixels, window=2) for pixels in scales) / 3
        ours = multi_scale_scores(
            network, (pixels[None] for pixels in scales), window=2, dtype=FP32
        )
        torch.testing.assert_close(ours[0], expected, **CLOSE)


def test_dense_keeps_the_images_of_a_batch_apart(network: ResNet) -> None:
    images = torch.randn(3, 3, 96, 70).double()
    together = dense_scores(network, images, window=2, dtype=FP32)
    alone = [by_hand(network, image, window=2) for image in images]
    torch.testing.assert_close(together, torch.stack(alone), **CLOSE)


def test_dense_at_the_training_size_is_the_network_itself(network: ResNet) -> None:
    images = torch.randn(2, 3, 64, 64).double()
    expected = (
        scores_of(network, images, dtype=FP32) + scores_of(network, images.flip(-1), dtype=FP32)
    ) / 2
    torch.testing.assert_close(
        dense_scores(network, images, window=2, dtype=FP32), expected, **CLOSE
    )


def test_cifar_networks_slide_too() -> None:
    network = lively(cifar(8, shortcut=Shortcut.A))
    assert window_of(network, 32) == 8
    image = torch.randn(3, 40, 50).double()
    ours = dense_scores(network, image[None], window=8, dtype=FP32)
    torch.testing.assert_close(ours[0], by_hand(network, image, window=8), **CLOSE)


@pytest.mark.parametrize("size", [32, 64, 100, 224, 225, 300])
def test_the_window_is_the_last_map(network: ResNet, size: int) -> None:
    assert (
        network.features(torch.zeros(1, 3, size, size).double()).shape[2:]
        == (window_of(network, size),) * 2
    )


SCORES: dict[str, Callable[..., Tensor]] = {
    "single": scores_of,
    "ten": lambda network, images, dtype: ten_crop_scores(
        network, torch.stack([images] * 5, dim=1), dtype=dtype
    ),
    "dense": lambda network, images, dtype: dense_scores(network, images, window=1, dtype=dtype),
}


@pytest.mark.parametrize("views", SCORES)
def test_bf16_is_near_and_still_float32_scores(network: ResNet, views: str) -> None:
    images = torch.randn(4, 3, 64, 64)
    network.float()
    exact, near = (SCORES[views](network, images, dtype=dtype) for dtype in (FP32, torch.bfloat16))
    assert near.dtype == FP32 and not near.requires_grad
    torch.testing.assert_close(near.sum(dim=1), torch.ones(4))
    assert (near - exact).abs().mean() < 0.005  # between two images it is above 0.01
    assert not torch.equal(near, exact)


@pytest.mark.parametrize("views", SCORES)
def test_a_compiled_network_scores_the_same(network: ResNet, views: str) -> None:
    images = torch.randn(2, 3, 64, 64).double()
    compiled = torch.compile(network, backend="eager")
    torch.testing.assert_close(
        SCORES[views](compiled, images, dtype=FP32), SCORES[views](network, images, dtype=FP32)
    )
    torch.compiler.reset()


def test_logits_would_average_to_something_else(network: ResNet) -> None:
    """The fixture can tell the two apart (pitfall: ten-crop by averaging logits)."""
    crops = torch.randn(2, 5, 3, 64, 64).double()
    views = torch.cat([crops, crops.flip(-1)], dim=1).flatten(0, 1)
    logits = network(views).unflatten(0, (2, 10)).mean(dim=1).softmax(dim=1)
    assert (ten_crop_scores(network, crops, dtype=FP32) - logits).abs().max() > 0.01


def test_wider_networks_have_a_window_too() -> None:
    wide = dataclasses.replace(SMALL, num_classes=5, groups=2, width_per_group=32)
    network = lively(wide)
    image = torch.randn(3, 96, 128).double()
    ours = dense_scores(network, image[None], window=2, dtype=FP32)
    torch.testing.assert_close(ours[0], by_hand(network, image, window=2), **CLOSE)

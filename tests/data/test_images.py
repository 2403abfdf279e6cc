"""Normalisation against NumPy, and which images it may look at."""

import numpy as np
import pytest
import torch

from resnet_cli.data import datasets
from resnet_cli.data.choices import DatasetName, Normalization
from resnet_cli.data.images import Split, fit_normalizer
from resnet_cli.runtime.errors import UserError
from tests.helpers.numbers import assert_same


@pytest.mark.numerical
def test_the_mean_image_is_numpys() -> None:
    images = torch.randint(0, 256, (6001, 3, 4, 5), dtype=torch.uint8)
    normalizer = fit_normalizer(
        Normalization.paper, Split(images, torch.zeros(6001, dtype=torch.int64))
    )
    np.testing.assert_allclose(
        normalizer.mean.numpy(), images.numpy().mean(axis=0) / 255, rtol=1e-6
    )
    np.testing.assert_allclose(
        normalizer(images[:9]).numpy(),
        images[:9].numpy() / 255 - images.numpy().mean(axis=0) / 255,
        atol=1e-6,
    )


@pytest.mark.numerical
def test_channel_means_are_those_people_publish() -> None:
    white = torch.full((1, 3, 32, 32), 255, dtype=torch.uint8)
    normalizer = fit_normalizer(
        Normalization.imagenet, Split(white, torch.zeros(1, dtype=torch.int64))
    )
    assert normalizer(white)[0, :, 0, 0].tolist() == pytest.approx(
        [(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225]
    )


def test_validation_images_are_held_out_and_do_not_count_for_the_mean(tmp_path) -> None:  # type: ignore[no-untyped-def]
    whole = datasets.load(DatasetName.synthetic, root=tmp_path)
    split = datasets.load(DatasetName.synthetic, root=tmp_path, validation=1000)
    assert isinstance(split.train, Split) and isinstance(split.validation, Split)
    assert isinstance(whole.train, Split) and isinstance(split.test, Split)
    assert (len(split.train), len(split.validation), len(split.test)) == (9000, 1000, 2000)
    assert_same(torch.cat([split.train.images, split.validation.images]), whole.train.images)
    ours = fit_normalizer(Normalization.paper, split.train).mean
    np.testing.assert_allclose(
        ours.numpy(), whole.train.images[:9000].numpy().mean(axis=0) / 255, rtol=1e-6
    )


def test_holding_out_everything_is_refused(tmp_path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(
        UserError, match=r"dataset.validation=10000: there are 10,000 training images"
    ):
        datasets.load(DatasetName.synthetic, root=tmp_path, validation=10_000)

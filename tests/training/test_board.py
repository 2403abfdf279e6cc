"""The training images on TensorBoard: those of the first step, and the run is none the worse."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from resnet_cli.data import synthetic
from resnet_cli.data.choices import Normalization
from resnet_cli.data.images import CHANNELS, Normalizer
from resnet_cli.training.trainer import Trainer
from tests.helpers.commands import TINY, Command
from tests.helpers.numbers import assert_same
from tests.helpers.runs import ended, folder_of


def pictures(runs: Path) -> list[np.ndarray]:
    """The grids that TensorBoard shows of the one run."""
    board = EventAccumulator(str(folder_of(runs)))
    board.Reload()
    return [
        np.asarray(Image.open(io.BytesIO(event.encoded_image_string)))
        for event in board.Images("training images")
    ]


def test_the_images_are_crops_of_training_images(command: Command, runs: Path) -> None:
    """Each is found among all crops, flipped or not, of all training images, padded with their
    channels' mean colour; both flips and several offsets are there.
    """
    args = [*TINY, "dataset.normalization=cifar", f"runs={runs}"]
    assert command("resnet-train", *args, "schedule.iterations=12").code == 0
    (picture,) = pictures(runs)
    mean = np.array(CHANNELS[Normalization.cifar][0]) * 255
    images = synthetic.draw(300, seed=0)[0].numpy().transpose(0, 2, 3, 1).astype(float)
    padded = np.broadcast_to(mean, (300, 40, 40, 3)).copy()
    padded[:, 4:36, 4:36] = images
    seen = set()
    for column in range(6):
        left = 4 + column * 68
        tile = picture[4:68:2, left : left + 64 : 2].astype(float)
        found = [
            (flip, top, at)
            for flip, wanted in ((False, tile), (True, tile[:, ::-1]))
            for top in range(9)
            for at in range(9)
            # a corner first: 40 numbers rule nearly all out
            for here in padded[
                np.abs(padded[:, top + 16, at : at + 32] - wanted[16]).max(axis=(1, 2)) <= 1
            ]
            if np.abs(here[top : top + 32, at : at + 32] - wanted).max() <= 1
        ]
        assert len(found) == 1
        seen.add(found[0])
    assert {flip for flip, _, _ in seen} == {False, True} and len(seen) > 3


def test_showing_them_changes_no_bit(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    assert command("resnet-train", *TINY, f"runs={one}").code == 0
    monkeypatch.setattr(Trainer, "_show_images", lambda *_: None)
    assert command("resnet-train", *TINY, f"runs={other}").code == 0
    assert len(pictures(one)) == 1
    assert_same(ended(one), ended(other))


@pytest.mark.parametrize("shape", [(3, 1, 1), (3, 32, 32)])
def test_denormalized_images_are_what_was_normalized(shape: tuple[int, ...]) -> None:
    """By channel to the last level; by pixel, up to the mean image's own contrast."""
    pixels = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8)
    mean: Tensor = 0.4 + 0.1 * torch.rand(shape)
    back = Normalizer(mean, torch.full(shape, 0.25)).undo(
        Normalizer(mean, torch.full(shape, 0.25))(pixels)
    )
    contrast = (mean - mean.mean(dim=(1, 2), keepdim=True)).abs().max()
    assert (back - pixels / 255).abs().max() <= contrast + 1e-6

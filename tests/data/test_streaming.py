"""Batches from files against a loop over single photographs, whatever the number of workers;
broken files stop the run or are told.
"""

import errno
import multiprocessing
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch

from resnet_cli.data.augment import color_noise
from resnet_cli.data.choices import Augmentation
from resnet_cli.data.crops import crop_and_resize, crop_box, draw_bits
from resnet_cli.data.decode import decode
from resnet_cli.data.imagenet import open_folders
from resnet_cli.data.photographs import BadImages
from resnet_cli.data.prefetch import prefetch, tell_unless_parent_left
from resnet_cli.data.samples import Samples
from resnet_cli.data.sampling import batch_indices, mix, sample_hashes
from resnet_cli.data.streaming import StreamingLoader
from resnet_cli.data.view_stream import ViewStream
from resnet_cli.evaluation.choices import Views
from resnet_cli.evaluation.protocol import Protocol
from resnet_cli.runtime.errors import DataError, explain
from tests.data.streams import break_one, loader
from tests.data.trees import write_folders, write_shards
from tests.helpers.numbers import assert_same
from tests.helpers.processes import PATIENCE


def epoch(batches: StreamingLoader) -> None:
    for iteration in range(3):
        batches.batch(iteration)


@pytest.fixture
def samples(tmp_path: Path) -> Samples:
    return open_folders(write_folders(tmp_path / "folders")).train


def naive(samples: Samples, index: int, epoch: int, augmentation: Augmentation) -> torch.Tensor:
    """One photograph, augmented by itself."""
    hashes = sample_hashes(torch.tensor([index]), torch.tensor([epoch]), seed=7)
    picture = decode(samples.read(index), where="")
    bits = draw_bits(hashes, augmentation)[0]
    box = crop_box(picture, augmentation, bits=bits, image_size=32)
    pixels = crop_and_resize(picture, box, size=32)
    pixels = pixels[:, ::-1] if int(mix(hashes, 1)) & 1 else pixels
    values = torch.from_numpy(pixels.astype(np.float32) / 255).permute(2, 0, 1)
    if augmentation is Augmentation.paper:
        values = values + color_noise(hashes)[0]
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (values - mean[:, None, None]) / std[:, None, None]


@pytest.mark.numerical
@pytest.mark.parametrize("augmentation", Augmentation)
def test_a_batch_is_the_loop_over_its_photographs(
    samples: Samples, augmentation: Augmentation
) -> None:
    batches = loader(samples, how=augmentation)
    for iteration in (0, 2, 7):  # the 2nd batch crosses the end of an epoch of 9
        images, labels = batches.batch(iteration)
        indices, epochs = batch_indices(iteration, batch_size=4, count=9, seed=7)
        assert labels.tolist() == samples.labels[indices.numpy()].tolist()
        expected = [
            naive(samples, index, epoch, augmentation)
            for index, epoch in zip(indices.tolist(), epochs.tolist(), strict=True)
        ]
        torch.testing.assert_close(images, torch.stack(expected))


def test_batches_do_not_depend_on_the_number_of_workers_nor_on_where_one_begins(
    samples: Samples,
) -> None:
    alone = loader(samples)
    expected = [alone.batch(iteration) for iteration in range(6)]
    for workers in (1, 3):
        helped = loader(samples, workers=workers)
        for iteration in (3, 4, 5, 0, 1, 2):
            for one, other in zip(helped.batch(iteration), expected[iteration], strict=True):
                assert_same(one, other)


def test_shards_give_the_batches_of_the_folders(samples: Samples, tmp_path: Path) -> None:
    shards = open_folders(write_shards(tmp_path / "shards")).train
    folders, tars = loader(samples), loader(shards, workers=2)
    for iteration in range(4):
        for one, other in zip(folders.batch(iteration), tars.batch(iteration), strict=True):
            assert_same(one, other)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_corrupt_photograph_stops_the_run_with_its_path(samples: Samples, workers: int) -> None:
    path = break_one(samples, 5)
    with pytest.raises(DataError) as told, closing(loader(samples, workers=workers)) as batches:
        epoch(batches)
    assert path in str(told.value) and "\n" not in str(told.value)


def test_a_skipped_photograph_is_counted_once_and_the_batch_is_full(samples: Samples) -> None:
    warned: list[str] = []
    path = break_one(samples, 5)
    bad = BadImages(skip=True, max_skipped=1, warn=warned.append)
    batches = loader(samples, workers=2, bad=bad)
    for iteration in range(9):  # four epochs
        images, labels = batches.batch(iteration)
        assert len(images) == len(labels) == 4
    batches.close()
    assert len(bad.found) == len(warned) == 1 and path in bad.found[0]
    assert batches.count == 9  # the order is as it was; the next photograph stands in


def test_too_many_are_too_many(samples: Samples) -> None:
    for index in range(3):
        break_one(samples, index)
    told = pytest.raises(DataError, match=r"more than dataset\.max_skipped=2 images are broken")
    with (
        told,
        closing(loader(samples, workers=1, bad=BadImages(skip=True, max_skipped=2))) as batches,
    ):
        epoch(batches)


def test_nothing_but_broken_photographs_is_told_in_one_line(samples: Samples) -> None:
    for index in range(9):
        break_one(samples, index)
    with (
        pytest.raises(DataError) as told,
        closing(loader(samples, workers=1, bad=BadImages(skip=True, max_skipped=100))) as batches,
    ):
        batches.batch(0)
    assert "is not a readable image" in str(told.value) and "\n" not in str(told.value)
    # an error that is held holds no worker
    assert told.value.__traceback__ and not multiprocessing.active_children()


@pytest.mark.parametrize("workers", [0, 2])
def test_testing_sees_every_photograph_once_and_in_order(samples: Samples, workers: int) -> None:
    warned: list[str] = []
    path = break_one(samples, 5)
    bad = BadImages(skip=True, max_skipped=1, warn=warned.append)
    stream = ViewStream(
        samples=samples,
        make_views=Protocol(views=Views.ten, image_size=32).make_views,
        batch_size=4,
        workers=workers,
        device=torch.device("cpu"),
        bad=bad,
    )
    seen = list(stream)
    assert [tuple(views.shape) for views, _, _ in seen] == [
        (4, 5, 3, 32, 32),
        (3, 5, 3, 32, 32),
        (1, 5, 3, 32, 32),
    ]
    assert torch.cat([indices for _, _, indices in seen]).tolist() == [0, 1, 2, 3, 4, 6, 7, 8]
    assert (
        torch.cat([labels for _, labels, _ in seen]).tolist()
        == np.delete(samples.labels, 5).tolist()
    )
    assert path in bad.found[0]


class Unreachable(torch.utils.data.Dataset[object]):
    """What it sends can be read only while its process lives, and that is gone."""

    def __getitem__(self, number: int) -> object:
        return Lost()


class Lost:
    def __reduce__(self) -> tuple[object, ...]:
        return reset, ()


def reset() -> None:
    raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")


def test_a_worker_that_dies_while_it_sends_is_told_as_a_dead_one() -> None:
    items = prefetch(Unreachable(), range(3), workers=1, device=torch.device("cpu"))
    with pytest.raises(RuntimeError) as lost:
        next(items)
    line, code = explain(lost.value)
    assert "a loader process died (DataLoader worker: " in line and code == 1
    del lost


LEAVES_IT_OPEN = """
import sys
from contextlib import closing
from pathlib import Path
from resnet_cli.data.imagenet import open_folders
from tests.data.streams import loader
batches = loader(open_folders(Path(sys.argv[1])).train, workers=2)
batches.batch(0)
sys.batches = batches  # beyond the reach of a garbage collection at exit
"""

# A traceback holds every frame it went through, and so whatever reads there.
KEEPS_THE_TRACEBACK = """
import sys
from contextlib import closing
from pathlib import Path
from resnet_cli.data.imagenet import open_folders
from resnet_cli.runtime.errors import DataError, explain
from tests.data.streams import break_one, loader
samples = open_folders(Path(sys.argv[1])).train
for index in range(len(samples)):
    break_one(samples, index)
try:
    loader(samples, workers=2).batch(0)
except DataError as error:
    sys.error = error
"""


@pytest.mark.parametrize("program", [LEAVES_IT_OPEN, KEEPS_THE_TRACEBACK])
def test_a_process_ends_though_its_workers_ignore_sigterm(tmp_path: Path, program: str) -> None:
    root = write_folders(tmp_path / "folders")
    done = subprocess.run(
        [sys.executable, "-c", program, str(root)], timeout=PATIENCE, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_parent_that_leaves_in_a_handshake_is_not_a_traceback(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """multiprocessing serves memory from a thread, which tells what goes wrong by excepthook."""
    program = """
import socket, sys, time
from multiprocessing import resource_sharer
if {hooked}:
    from resnet_cli.data.prefetch import tell_unless_parent_left
    sys.excepthook = tell_unless_parent_left
resource_sharer.DupFd(1)
with socket.socket(socket.AF_UNIX) as parent:
    parent.connect(resource_sharer._resource_sharer._address)
time.sleep(0.5)
"""
    told = [
        subprocess.run(
            [sys.executable, "-c", program.format(hooked=hooked)],
            capture_output=True,
            text=True,
            check=True,
        ).stderr
        for hooked in (False, True)
    ]
    assert "in accept" in told[0] and told[1] == ""
    tell_unless_parent_left(ValueError, ValueError("of ours"), None)
    assert "ValueError: of ours" in capfd.readouterr().err

"""Files of predictions: what was written is read, an ensemble is a mean, and files of other
images are told apart.
"""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from resnet_cli.evaluation.predictions import Predictions, average, errors, read, write
from resnet_cli.runtime.errors import UserError
from tests.helpers.numbers import assert_same

PATHS = tuple(f"n0144{index % 3}/größe {index}.JPEG" for index in range(30))


def made_up(seed: int, images: int = 30, classes: int = 10, labels_seed: int = 0) -> Predictions:
    generator = torch.Generator().manual_seed(seed)
    scores = (3 * torch.randn(images, classes, generator=generator)).softmax(dim=1)
    return Predictions(
        scores,
        torch.randint(0, classes, (images,), generator=torch.Generator().manual_seed(labels_seed)),
        PATHS[:images],
    )


def written(folder: Path, *predictions: Predictions) -> list[Path]:
    paths = [folder / f"{number}.npz" for number in range(len(predictions))]
    for one, path in zip(predictions, paths, strict=True):
        write(one, path)
    return paths


def test_a_round_trip_is_bit_equal(tmp_path: Path) -> None:
    ours = made_up(0)
    write(ours, tmp_path / "no suffix needed")
    theirs = read(tmp_path / "no suffix needed")
    assert_same(
        (ours.scores, ours.labels, ours.paths), (theirs.scores, theirs.labels, theirs.paths)
    )
    assert [path.name for path in tmp_path.iterdir()] == ["no suffix needed"]


def test_anyone_can_read_the_file(tmp_path: Path) -> None:
    write(made_up(0), tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz") as file:
        assert {
            name: (file[name].dtype.kind, file[name].dtype.itemsize)
            for name in ("scores", "labels")
        } == {
            "scores": ("f", 4),
            "labels": ("i", 8),
        }
        assert file["scores"].shape == (30, 10) and file["paths"].tolist() == list(PATHS)


@pytest.mark.numerical
def test_an_ensemble_is_the_mean_of_the_scores(tmp_path: Path) -> None:
    three = [made_up(seed) for seed in range(3)]
    ours = average(written(tmp_path, *three))
    expected = torch.stack([one.scores for one in three]).double().mean(dim=0)
    torch.testing.assert_close(ours.scores.double(), expected, atol=1e-7, rtol=0)
    assert ours.scores.dtype == torch.float32
    assert_same(ours.labels, three[0].labels)
    assert ours.paths == PATHS
    wrong = sum(
        int(scores.argmax()) != label
        for scores, label in zip(expected, three[0].labels.tolist(), strict=True)
    )
    assert errors(ours).top1_error == pytest.approx(100 * wrong / 30)


def test_one_file_is_itself(tmp_path: Path) -> None:
    assert_same(average(written(tmp_path, made_up(0))).scores, made_up(0).scores)


@pytest.mark.numerical
def test_errors_are_a_count_over_single_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resnet_cli.evaluation.predictions.CHUNK", 7)
    ours = made_up(0)
    top1 = top5 = 0
    for scores, label in zip(ours.scores, ours.labels.tolist(), strict=True):
        order = scores.argsort(descending=True).tolist()
        top1 += order[0] != label
        top5 += label not in order[:5]
    counted = errors(ours)
    assert counted.top1_error == pytest.approx(top1 / 0.3)
    assert counted.top5_error == pytest.approx(top5 / 0.3)
    assert counted.count == 30


OTHERS = {
    "fewer images": (made_up(1, images=20), "30 images of 10 classes and 20 images of 10 classes"),
    "more classes": (made_up(1, classes=12), "30 images of 10 classes and 30 images of 12 classes"),
    "labels": (made_up(1, labels_seed=1), "is labelled"),
    "order": (
        Predictions(made_up(1).scores, made_up(0).labels, PATHS[::-1]),
        "image 0 is n01440/größe 0.JPEG in the one and",
    ),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_files_of_other_images_make_no_ensemble(tmp_path: Path, kind: str) -> None:
    other, told = OTHERS[kind]
    paths = written(tmp_path, made_up(0), other)
    with pytest.raises(UserError, match="make no ensemble") as raised:
        average(paths)
    assert all(part in str(raised.value) for part in (told, *map(str, paths))) and "\n" not in str(
        raised.value
    )


ARRAYS: dict[str, Any] = {
    "scores": made_up(0).scores.numpy(),
    "labels": made_up(0).labels.numpy(),
    "paths": np.array(PATHS),
}
BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "no labels": ({key: ARRAYS[key] for key in ("scores", "paths")}, "holds no labels"),
    "logits": (ARRAYS | {"scores": np.ones((30, 10), np.float32)}, "no probabilities"),
    "NaN": (ARRAYS | {"scores": np.full((30, 10), np.nan, np.float32)}, "no probabilities"),
    "float64": (ARRAYS | {"scores": ARRAYS["scores"].astype(float)}, "wants float32 scores"),
    "fewer labels": (ARRAYS | {"labels": ARRAYS["labels"][:-1]}, "wants float32 scores"),
    "a label too high": (ARRAYS | {"labels": ARRAYS["labels"] + 5}, "not among its 10 classes"),
    "objects": (ARRAYS | {"paths": np.array([{}] * 30, dtype=object)}, "cannot be read"),
    "no images": ({key: value[:0] for key, value in ARRAYS.items()}, "0 labels"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_arrays_that_are_no_predictions_are_one_line(tmp_path: Path, kind: str) -> None:
    arrays, told = BROKEN[kind]
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(UserError, match=told) as raised:
        read(tmp_path / "x.npz")
    assert str(tmp_path / "x.npz") in str(raised.value) and "\n" not in str(raised.value)


def test_an_entry_that_is_no_array_is_one_line(tmp_path: Path) -> None:
    """NumPy hands over its bytes, whatever they are."""
    path = tmp_path / "x.npz"
    np.savez(path, **{key: value for key, value in ARRAYS.items() if key != "scores"})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("scores", b"")
    with pytest.raises(UserError, match="cannot be read"):
        read(path)


def test_a_small_file_that_unpacks_to_a_large_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez_compressed(path, **ARRAYS | {"more": np.zeros(10**7)})
    with pytest.raises(UserError, match="would unpack to 80,00"):
        read(path)


def test_negative_probabilities_are_refused(tmp_path: Path) -> None:
    scores = ARRAYS["scores"].copy()
    scores[0, :2] += (-2, 2)
    np.savez(tmp_path / "x.npz", **ARRAYS | {"scores": scores})
    with pytest.raises(UserError, match="no probabilities"):
        read(tmp_path / "x.npz")


def test_bytes_that_are_no_predictions_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    with pytest.raises(UserError, match="no such file"):
        read(path)
    write(made_up(0), path)
    whole = path.read_bytes()
    damaged = whole[:300] + bytes([whole[300] ^ 255]) + whole[301:]
    array = tmp_path / "x.npy"
    np.save(array, np.zeros(3))
    for content in (
        b"",
        b"hello, world\n",
        whole[:100],
        whole[: len(whole) // 2],
        damaged,
        array.read_bytes(),
        b"\x80\x04N.",
    ):
        path.write_bytes(content)
        with pytest.raises(UserError, match="cannot be read") as raised:
            read(path)
        assert "\n" not in str(raised.value)

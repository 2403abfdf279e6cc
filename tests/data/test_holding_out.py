"""Class folders that are not split: what is held out of them, and by what it is decided."""

import hashlib
from pathlib import Path

import pytest

from resnet_cli.data.imagenet import ImageFolders, open_folders
from resnet_cli.runtime.errors import DataError, UserError
from tests.data.trees import jpeg

COUNTS = {"cat": 10, "dog": 25, "newt": 4}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name, count in COUNTS.items():
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(count):
            (tmp_path / "photos" / name / f"{number}.jpg").write_bytes(jpeg(number))
    return tmp_path / "photos"


def names(found: ImageFolders) -> tuple[set[str], set[str]]:
    """Class and file of the training and of the held-out images."""
    parts = [
        {"/".join(Path(part.path(index)).parts[-2:]) for index in range(len(part))}
        for part in (found.train, found.val)
    ]
    return parts[0], parts[1]


def classes(held_out: set[str]) -> dict[str, int]:
    return {name: sum(one.startswith(f"{name}/") for one in held_out) for name in COUNTS}


def test_a_share_of_each_class_whose_hashes_come_first(photos: Path) -> None:
    for _ in range(2):  # found, then remembered
        found = open_folders(photos, validation=0.2)
        train, held_out = names(found)
        assert found.classes == ("cat", "dog", "newt")
        assert classes(held_out) == {"cat": 2, "dog": 5, "newt": 1}
        assert not train & held_out and len(train) + len(held_out) == 39
        for name, take in classes(held_out).items():
            ranks = sorted(
                (hashlib.sha256(f"0/{name}/{number}.jpg".encode()).hexdigest(), number)
                for number in range(COUNTS[name])
            )
            assert {f"{name}/{number}.jpg" for _, number in ranks[:take]} == {
                one for one in held_out if one.startswith(name)
            }
        assert found.remarks == [
            "3 classes, 31 training and 8 validation images",
            "no val/: 20%, taken from each class by a hash of the file's name "
            "(dataset.split_seed=0), are held out: 8 of 39",
        ]
        labels = [found.classes[label] for label in found.val.labels]
        assert labels == [Path(found.val.path(index)).parent.name for index in range(8)]


def test_a_new_photograph_moves_few_others_to_the_other_side(photos: Path) -> None:
    _, before = names(open_folders(photos))
    for number in range(100, 105):
        (photos / "dog" / f"{number}.jpg").write_bytes(jpeg(number))
    train, after = names(open_folders(photos))
    assert len(before & train) <= 5
    assert classes(after) == {"cat": 2, "dog": 6, "newt": 1}


def test_counts_and_seeds(photos: Path) -> None:
    _, usual = names(open_folders(photos))
    assert usual == names(open_folders(photos, validation=0.2))[1]
    _, ten = names(open_folders(photos, validation=10))
    assert classes(ten) == {"cat": 3, "dog": 6, "newt": 1}  # 10 x 10/39, 25/39, 4/39
    _, other = names(open_folders(photos, validation=0.2, split_seed=1))
    assert other != usual and classes(other) == classes(usual)
    _, few = names(open_folders(photos, validation=0.01))
    assert classes(few) == {"cat": 1, "dog": 1, "newt": 1}
    train, _ = names(open_folders(photos, validation=0.99))
    assert classes(train) == {"cat": 1, "dog": 1, "newt": 1}


def test_what_cannot_be_split_is_named(photos: Path) -> None:
    with pytest.raises(UserError, match=r"dataset.validation=39: there are 39 training images"):
        open_folders(photos, validation=39)
    (photos / "owl").mkdir()
    with pytest.raises(DataError, match="owl contains no image: found nothing"):
        open_folders(photos)
    (photos / "owl" / "a.png").write_bytes(b"")
    with pytest.raises(DataError, match="class owl has one image"):
        open_folders(photos)

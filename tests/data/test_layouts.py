"""Every layout gives the images and labels of the folder layout; whatever is broken is named."""

import os
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from resnet_cli.data.imagenet import open_folders
from resnet_cli.data.samples import Samples
from resnet_cli.runtime.errors import DataError
from tests.data import trees

Writer = Callable[[Path], Path]

WRITERS: dict[str, Writer] = {
    "folders": trees.write_folders,
    "folders below ILSVRC": lambda root: trees.write_folders(root, base="ILSVRC/Data/CLS-LOC"),
    "tiny": trees.write_tiny,
    "kaggle": trees.write_kaggle,
    "kaggle at the root": lambda root: trees.write_kaggle(root, base=""),
    "official": trees.write_official,
    "shards": trees.write_shards,
    "shards in folders": lambda root: trees.write_shards(root, in_folders=True),
}


@pytest.fixture(autouse=True)
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))


def contents(samples: Samples) -> list[tuple[bytes, int]]:
    return [(samples.read(index), int(samples.labels[index])) for index in range(len(samples))]


@pytest.mark.parametrize("layout", WRITERS)
def test_every_layout_holds_the_same_images_and_labels_in_the_same_order(
    layout: str, tmp_path: Path
) -> None:
    if layout == "official":
        pytest.importorskip("scipy")
    root = WRITERS[layout](tmp_path / "images")
    for _ in range(2):  # found, then remembered
        folders = open_folders(root)
        assert folders.classes == trees.CLASSES
        for split, samples in (("train", folders.train), ("val", folders.val)):
            rows = sorted(
                (wnid, name, data)
                for (of, wnid, name), data in trees.files().items()
                if of == split
            )
            assert contents(samples) == [
                (data, trees.CLASSES.index(wnid)) for wnid, _, data in rows
            ]
            stems = [
                samples.path(index).replace(":", "/").rpartition("/")[2].partition(".")[0]
                for index in range(len(samples))
            ]
            assert stems == [name.removesuffix(".JPEG") for _, name, _ in rows]
    assert folders.remarks == [
        "3 classes, 9 training and 4 validation images: not ImageNet's 1,000 / 1,281,167 / 50,000"
    ]


def test_suffixes_count_in_any_case_and_other_files_are_left_out_and_told(tmp_path: Path) -> None:
    root = trees.write_folders(tmp_path / "images")
    folder = root / "train" / "n01440764"
    for name in (
        "a.jpg",
        "b.PNG",
        "c.webp",
        "d.BMP",
        "e.jpeg",
        ".hidden.jpg",
        "notes.txt",
        "Thumbs.db",
    ):
        (folder / name).write_bytes(b"")
    folders = open_folders(root)
    assert len(folders.train) == 9 + 5
    assert folders.remarks[1:] == [
        f"2 files below {root / 'train'} are not images, such as {folder / 'Thumbs.db'}: left out"
    ]


def test_taking_some_keeps_their_names_and_bytes(tmp_path: Path) -> None:
    train = open_folders(trees.write_shards(tmp_path / "images")).train
    some = train.take((train.labels != 1).nonzero()[0][::-1])
    expected = [index for index in reversed(range(len(train))) if train.labels[index] != 1]
    assert [some.path(index) for index in range(len(some))] == [
        train.path(index) for index in expected
    ]
    assert contents(some) == [contents(train)[index] for index in expected]


def test_forked_readers_of_one_tar_do_not_disturb_each_other(tmp_path: Path) -> None:
    train = open_folders(trees.write_shards(tmp_path / "images")).train
    expected = contents(train)
    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            os._exit(0 if all(contents(train) == expected for _ in range(50)) else 1)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0, 0]


def test_shards_without_names_number_their_classes(tmp_path: Path) -> None:
    root = trees.write_shards(tmp_path / "images")
    (root / "classes.txt").unlink()
    assert open_folders(root).classes == ("0", "1", "2")


def end_of_members(path: Path) -> int:
    """Where the last file in a tar ends, in whole blocks of 512."""
    with tarfile.open(path) as tar:
        last = tar.getmembers()[-1]
    return last.offset_data + -(-last.size // 512) * 512


def overwrite(path: Path, offset: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)


def sink(folder: Path) -> None:
    """Puts what lies in a folder one folder deeper."""
    folder.rename(folder.with_name("moved"))
    folder.mkdir()
    folder.with_name("moved").rename(folder / "images")


def edit(name: str, old: bytes, new: bytes) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        path = root / name
        path.write_bytes(path.read_bytes().replace(old, new))

    return change


def only_member(root: Path, *members: tuple[str, bytes]) -> None:
    (root / "train-000001.tar").write_bytes(trees.tar_of(list(members)))


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


BREAKS: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "no root": (
        "folders",
        lambda root: root.rename(root.with_name("gone")),
        r"images is missing; point dataset.root",
    ),
    "empty root": (
        "shards",
        _empty,
        r"looked for train/ and val/.*found nothing",
    ),
    "unknown layout": (
        "folders",
        lambda root: [(root / split).rename(root / f"{split}s") for split in ("train", "val")],
        r"no images in classes in .*images: looked for train/ and val/ with one folder per class, "
        r"class folders alone, Kaggle's .*; found trains/, vals/$",
    ),
    "one folder too high": (
        "folders",
        lambda root: root.rename(root.with_name("y")).rename(_made(root) / "x"),
        r"found x/; did you mean dataset.root=.*/images/x\?$",
    ),
    "a class only in val": (
        "folders",
        lambda root: (root / "train/n01443537").rename(root / "elsewhere"),
        r"images: n01443537 has validation images, but no folder in train/$",
    ),
    "an empty class": (
        "folders",
        lambda root: _empty(root / "train/n01443537"),
        r"train/n01443537 contains no image: found nothing$",
    ),
    "images one folder deeper": (
        "folders",
        lambda root: sink(root / "train/n01443537"),
        r"train/n01443537 contains no image: found images/$",
    ),
    "no val": (
        "kaggle",
        lambda root: (root / "ILSVRC/Data/CLS-LOC/val").rename(root / "v"),
        r"CLS-LOC/val is missing: there is only train/; dataset.root=.*train holds out some of its "
        r"images$",
    ),
    "a validation image that no line names": (
        "tiny",
        lambda root: (root / "val/images/more.JPEG").write_bytes(b""),
        r"validation image more.JPEG is not in .*val_annotations.txt \(1 such images\)$",
    ),
    "a line without a class": (
        "tiny",
        lambda root: (root / "val/val_annotations.txt").write_text("a.JPEG\n"),
        r"val_annotations.txt: line 1 names no image and class$",
    ),
    "a validation class that train does not have": (
        "tiny",
        lambda root: (root / "train/n01443537").rename(root / "elsewhere"),
        r"ILSVRC2012_val_00000003.JPEG is of class n01443537, which train/ does not have$",
    ),
    "no solution": (
        "kaggle",
        lambda root: (root / "LOC_val_solution.csv").unlink(),
        r"val has no class folders, and .*/LOC_val_solution.csv, which names the classes, is "
        r"missing$",
    ),
    "another solution": (
        "kaggle",
        lambda root: (root / "LOC_val_solution.csv").write_text("a,b\n1,2\n"),
        r"LOC_val_solution.csv has no col",
    ),
    "a solution cut off": (
        "kaggle",
        lambda root: os.truncate(root / "LOC_val_solution.csv", 60),
        r"validation image ILSVRC2012_val_00000002 is not in .*LOC_val_solution.csv \(3 such "
        r"images\)$",
    ),
    "an image not there": (
        "kaggle",
        lambda root: (root / "ILSVRC/Data/CLS-LOC/val/ILSVRC2012_val_00000002.JPEG").unlink(),
        r"validation image ILSVRC2012_val_00000002 is not in .*/val \(1 such images\)$",
    ),
    "an unknown class": (
        "kaggle",
        edit("LOC_val_solution.csv", b"n01443537", b"n09999999"),
        r"LOC_val_solution.csv: ILSVRC2012_val_00000003 is of class n09999999, which has no "
        r"folder in train/$",
    ),
    "one archive short": (
        "official",
        lambda root: (root / "ILSVRC2012_devkit_t12.tar.gz").unlink(),
        r"ILSVRC2012_devkit_t12.tar.gz is missing: it belongs next to ILSVRC2012_img_train.tar$",
    ),
    "training tar cut off": (
        "official",
        lambda root: os.truncate(root / "ILSVRC2012_img_train.tar", 20_000),
        r"img_train.tar is cut off",
    ),
    "validation tar cut off": (
        "official",
        lambda root: os.truncate(root / "ILSVRC2012_img_val.tar", 1_300),
        r"img_val.tar is cut off",
    ),
    "devkit cut off": (
        "official",
        lambda root: os.truncate(root / "ILSVRC2012_devkit_t12.tar.gz", 300),
        r"devkit_t12.tar.gz is broken: ",
    ),
    "training tar of something else": (
        "official",
        lambda root: (root / "ILSVRC2012_img_train.tar").write_bytes(
            trees.tar_of([("a.txt", b"")])
        ),
        r"img_train.tar contains no tar of a class",
    ),
    "validation tar with too few": (
        "official",
        lambda root: (root / "ILSVRC2012_img_val.tar").write_bytes(trees.tar_of([("a.jpg", b"")])),
        r"img_val.tar contains 1 images, but the devkit's ILSVRC2012_validation_ground_truth.txt "
        r"has 4 lines$",
    ),
    "shard cut off in an image": (
        "shards",
        lambda root: os.truncate(root / "train-000001.tar", 700),
        r"train-000001.tar is cut off or not a tar",
    ),
    "shard of nothing": (
        "shards",
        lambda root: os.truncate(root / "train-000001.tar", 0),
        r"train-000001.tar is cut off or not a tar: empty file$",
    ),
    "shard without its end": (
        "shards",
        lambda root: os.truncate(
            root / "train-000001.tar", end_of_members(root / "train-000001.tar")
        ),
        r"train-000001.tar is cut off at byte (\d+,\d+) of \1$",
    ),
    "shard with other bytes after a member": (
        "shards",
        lambda root: overwrite(
            root / "train-000001.tar", end_of_members(root / "train-000001.tar"), b"garbage"
        ),
        r"train-000001.tar is corrupt at byte",
    ),
    "no label": (
        "shards",
        lambda root: only_member(root, ("a.jpg", b"x")),
        r"train-000001.tar: no .cls for key a \(1 such keys\)$",
    ),
    "no image": (
        "shards",
        lambda root: only_member(root, ("a.cls", b"0")),
        r"train-000001.tar: a .cls but no image for key a",
    ),
    "two images": (
        "shards",
        lambda root: only_member(root, ("a.jpg", b"x"), ("a.png", b"x"), ("a.cls", b"0")),
        r"train-000001.tar contains two images with the same key: a.jpg and a.png$",
    ),
    "no number": (
        "shards",
        lambda root: only_member(root, ("a.jpg", b""), ("a.cls", b"cat")),
        r"tar:a.cls contains no class number: b'cat'$",
    ),
    "number too large": (
        "shards",
        lambda root: only_member(root, ("a.jpg", b""), ("a.cls", b"3")),
        r"train-000001.tar:a.jpg is of class 3, but classes.txt names 3 classes$",
    ),
    "a class without a training image": (
        "shards",
        lambda root: (root / "classes.txt").write_text("a\nb\nc\nd\n"),
        r"images: class d has no training image \(1 such classes\)$",
    ),
    "only training shards": (
        "shards",
        lambda root: (root / "val-000000.tar").unlink(),
        r"images contains tar shards, but none of val: looked for val\*.tar and val/\*.tar$",
    ),
}


@pytest.mark.parametrize("case", BREAKS)
def test_what_is_broken_is_named_in_one_line(case: str, tmp_path: Path) -> None:
    layout, spoil, line = BREAKS[case]
    if layout == "official":
        pytest.importorskip("scipy")
    root = WRITERS[layout](tmp_path / "images")
    spoil(root)
    with pytest.raises(DataError, match=line) as error:
        open_folders(root)
    assert "\n" not in str(error.value)


def test_the_devkit_asks_for_scipy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("scipy")
    root = trees.write_official(tmp_path / "images")
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(
        DataError, match=r"meta.mat needs SciPy: pip install 'resnet-cli\[devkit\]'"
    ):
        open_folders(root)

"""Headers of tars and labels of shards that no archiver writes."""

import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from resnet_cli.data.imagenet import open_folders
from resnet_cli.data.layouts.tars import list_members
from resnet_cli.data.samples import Samples
from resnet_cli.runtime.errors import DataError
from tests.data import trees

SIZE, TYPE, CHECKSUM = slice(124, 136), slice(156, 157), slice(148, 156)


def with_header(path: Path, field: slice, value: bytes) -> None:
    """Sets a field of the first header, with the checksum that belongs to it."""
    content = bytearray(path.read_bytes())
    content[field] = value
    content[CHECKSUM] = b" " * 8
    content[CHECKSUM] = f"{sum(content[:512]):06o}\0 ".encode()
    path.write_bytes(content)


HEADERS: dict[str, tuple[slice, bytes]] = {
    "a size below zero": (SIZE, b"\xff" * 10 + b"\xfc\x00"),  # back to where it began
    "a size of exabytes": (SIZE, b"\x80" + b"\0" * 3 + b"\x7f" + b"\xff" * 7),
    "a size beyond all numbers": (SIZE, b"\x80" + b"\xff" * 11),
    "sparse": (TYPE, b"S"),
}


@pytest.mark.parametrize("kind", HEADERS)
def test_a_header_that_misleads_is_named_and_ends(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(trees.tar_of([("a.jpg", b"1" * 700), ("b.jpg", b"2")]))
    with_header(path, *HEADERS[kind])
    began = time.monotonic()
    with pytest.raises(DataError, match=rf"^{path}") as raised:
        list(list_members(path))
    assert "\n" not in str(raised.value) and time.monotonic() - began < 10


def test_names_upon_names_are_refused(tmp_path: Path) -> None:
    """GNU's headers of a long name, each of which is followed by another, 10,000 deep."""
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 1
    block = header.tobuf(tarfile.GNU_FORMAT) + b"a".ljust(512, b"\0")
    path = tmp_path / "x.tar"
    path.write_bytes(block * 10_000)
    with pytest.raises(DataError, match=r"x\.tar is cut off or not a tar: .*recursion"):
        list(list_members(path))


LABELS = {
    "5,000 digits": (b"9" * 5000, "contains no class number"),
    "a megabyte of digits": (b"9" * 10**6, "contains no class number"),
    "more than an int64": (b"9" * 19, "contains no class number"),
    "more than there are images": (b"9" * 18, "some class has no training image"),
    "below zero": (b"-1", "contains no class number"),
    "another script's digits": ("٣".encode(), "contains no class number"),
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels_that_are_none_are_named(kind: str, tmp_path: Path) -> None:
    label, told = LABELS[kind]
    sound = trees.tar_of([("a.jpg", trees.jpeg(0)), ("a.cls", b"0")])
    (tmp_path / "val-0.tar").write_bytes(sound)
    (tmp_path / "train-0.tar").write_bytes(
        trees.tar_of([("a.jpg", trees.jpeg(0)), ("a.cls", label)])
    )
    with pytest.raises(DataError, match=told) as raised:
        open_folders(tmp_path)
    assert len(str(raised.value)) < 400


Change = Callable[[Samples], dict[str, object]]
BEYOND: dict[str, Change] = {
    "a class": lambda one: {"labels": one.labels + 1},
    "a class below zero": lambda one: {"labels": one.labels - 1},
    "a container": lambda one: {"container": one.container + 99},
    "names": lambda one: {"name_start": one.name_start + 10**6},
    "names, so that the sum is too large": lambda one: {
        "name_start": np.full_like(one.name_start, 2**63 - 1)
    },
    "lengths of another type": lambda one: {"name_length": one.name_length.astype(np.float32)},
    "fewer offsets": lambda one: {"offset": one.offset[:-1]},
    "a size without an offset": lambda one: {"size": np.full_like(one.size, -1)},
    "no stamps": lambda one: {"stamps": one.stamps[:0]},
}


@pytest.mark.parametrize("kind", BEYOND)
def test_an_index_that_points_beyond_what_there_is_is_refused(kind: str, tmp_path: Path) -> None:
    found = open_folders(trees.write_shards(tmp_path / "images"))
    found.train.validate(classes=len(found.classes))
    parts = {**vars(found.train), **BEYOND[kind](found.train)}
    with pytest.raises(ValueError, match=r"is|do"):
        Samples(**parts).validate(classes=len(found.classes))

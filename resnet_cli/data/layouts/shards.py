"""Layout of tar shards in the WebDataset format, read by offset without unpacking.

`train*.tar` and `val*.tar` hold `key.jpg` and `key.cls` (the class number) for each image.
"""

import os
from functools import partial
from pathlib import Path

from resnet_cli.data.layouts.layout import IMAGE_SUFFIXES, Layout, Scanned
from resnet_cli.data.layouts.tars import read_members
from resnet_cli.data.samples import Samples, SamplesBuilder, stamp
from resnet_cli.runtime.errors import DataError

CLASSES = "classes.txt"  # one name per line, in the order of the class numbers
SUMS = "SHA256SUMS"  # of the files in a set that scripts/prepare_imagenet.py has finished
# of the files so far, while it is still writing
UNFINISHED = "SHA256SUMS.unfinished"
_SPLITS = ("train", "val")
_LONGEST_LABEL = 18  # bytes: what an int64 holds


def recognize(root: Path) -> Layout | None:
    """The layout, if shards of both splits are at the root, or in `train/` and `val/`.

    Raises DataError if only one split is there, or the set is unfinished.
    """
    shards = {split: _find_shards(root, split) for split in _SPLITS}
    if not any(shards.values()):
        return None
    if (root / UNFINISHED).is_file():
        raise DataError(
            f"{root} contains only some of the shards: run scripts/prepare_imagenet.py again "
            "as before to complete them"
        )
    for split in _SPLITS:
        if not shards[split]:
            raise DataError(
                f"{root} contains tar shards, but none of {split}: looked for {split}*.tar and "
                f"{split}/*.tar"
            )
    names = root / CLASSES
    sources = (*shards["train"], *shards["val"], *([names] if names.is_file() else []))
    return Layout(name="tar shards", sources=sources, scan=partial(_scan, root, shards))


def _find_shards(root: Path, split: str) -> list[Path]:
    """`train*.tar` at the root, or `train/*.tar`, sorted."""
    return sorted(path for path in root.glob(f"{split}*.tar") if path.is_file()) or sorted(
        (root / split).glob("*.tar")
    )


def _scan(root: Path, shards: dict[str, list[Path]]) -> Scanned:
    """Finds every image of all shards, in their order. Raises DataError, OSError."""
    splits = {split: _scan_shards(paths) for split, paths in shards.items()}
    train, val = splits["train"], splits["val"]
    if (root / CLASSES).is_file():
        classes = tuple((root / CLASSES).read_text(encoding="utf-8", errors="replace").splitlines())
    else:
        highest = int(train.labels.max(initial=-1))
        if highest >= len(train):  # before a name is made for each
            raise DataError(
                f"{root}: the training shards have {len(train):,} images and class {highest:,}: "
                "some class has no training image"
            )
        classes = tuple(str(label) for label in range(highest + 1))
    for samples in (train, val):
        for index in (samples.labels >= len(classes)).nonzero()[0][:1].tolist():
            there_are = (
                f"{CLASSES} names" if (root / CLASSES).is_file() else "the training shards have"
            )
            raise DataError(
                f"{samples.path(index)} is of class {samples.labels[index]}, but {there_are} "
                f"{len(classes):,} classes"
            )
    return Scanned(classes=classes, train=train, val=val)


def _scan_shards(paths: list[Path]) -> Samples:
    builder = SamplesBuilder()
    for path in paths:
        tar_stamp = stamp(path)
        rows = _scan_shard(path)
        names, offsets, sizes, labels = zip(*rows, strict=True) if rows else ((), (), (), ())
        builder.add(path, names, labels=labels, offsets=offsets, sizes=sizes, stamp=tar_stamp)
    return builder.build()


def _scan_shard(path: Path) -> list[tuple[str, int, int, int]]:
    """Name, offset, size and label of each image, in the order of the shard.

    Raises DataError, OSError.
    """
    images: dict[str, tuple[str, int, int]] = {}
    labels: dict[str, int] = {}
    with path.open("rb", buffering=0) as file:
        for name, offset, size in read_members(file, path=path, start=0):
            folder, slash, rest = name.rpartition("/")
            # webdataset's key ends at the first dot of the file's name
            stem, dot, suffix = rest.partition(".")
            key, suffix = f"{folder}{slash}{stem}", f"{dot}{suffix.lower()}"
            if suffix == ".cls":
                labels[key] = _read_label(
                    os.pread(file.fileno(), min(size, _LONGEST_LABEL + 1), offset),
                    where=f"{path}:{name}",
                )
            elif suffix in IMAGE_SUFFIXES:
                if key in images:
                    raise DataError(
                        f"{path} contains two images with the same key: {images[key][0]} and {name}"
                    )
                images[key] = (name, offset, size)
    for one, other, what in ((images, labels, "no .cls"), (labels, images, "a .cls but no image")):
        unmatched = one.keys() - other.keys()
        if unmatched:
            raise DataError(
                f"{path}: {what} for key {min(unmatched)} ({len(unmatched):,} such keys)"
            )
    return [(*image, labels[key]) for key, image in images.items()]


def _read_label(content: bytes, *, where: str) -> int:
    if not content.strip().isdigit() or len(content) > _LONGEST_LABEL:
        raise DataError(f"{where} contains no class number: {content[:20]!r}")
    return int(content)

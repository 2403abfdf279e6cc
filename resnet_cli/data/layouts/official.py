"""Layout of the three official archives of ILSVRC 2012, read without unpacking them."""

import io
import tarfile
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from resnet_cli.data.layouts.layout import Layout, Scanned, is_image
from resnet_cli.data.layouts.tars import list_members
from resnet_cli.data.samples import Samples, SamplesBuilder, stamp
from resnet_cli.runtime.errors import DataError

TRAIN, _VAL, _DEVKIT = (
    "ILSVRC2012_img_train.tar",
    "ILSVRC2012_img_val.tar",
    "ILSVRC2012_devkit_t12.tar.gz",
)
_META, _TRUTH = "meta.mat", "ILSVRC2012_validation_ground_truth.txt"


def recognize(root: Path) -> Layout | None:
    """The layout, if the training archive is at the root.

    Raises DataError naming an archive that is missing next to it.
    """
    sources = [root / name for name in (TRAIN, _VAL, _DEVKIT)]
    missing = [path for path in sources if not path.is_file()]
    if missing and sources[0] in missing:
        return None
    if missing:
        raise DataError(f"{missing[0]} is missing: it belongs next to {TRAIN}")
    return Layout(name="the official tars", sources=tuple(sources), scan=partial(_scan, root))


def _scan(root: Path) -> Scanned:
    """Finds every image of both archives; the devkit has the labels of the validation images.

    Raises DataError, OSError.
    """
    wnids, truth = _read_devkit(root / _DEVKIT)
    classes, train = _scan_train(root / TRAIN)
    val_wnids = [wnids.get(number, f"ILSVRC2012_ID {number}") for number in truth]
    val = _scan_val(root / _VAL, val_wnids, classes=classes)
    return Scanned(classes=classes, train=train, val=val)


def _scan_train(path: Path) -> tuple[tuple[str, ...], Samples]:
    """Classes and images of a tar that holds one tar per class, such as `n01440764.tar`.

    Raises DataError, OSError.
    """
    inner = sorted(
        (PurePosixPath(name).stem, offset)
        for name, offset, _ in list_members(path)
        if name.endswith(".tar")
    )
    if not inner:
        raise DataError(f"{path} contains no tar of a class, such as n01440764.tar")
    builder, tar_stamp = SamplesBuilder(), stamp(path)
    for label, (_, start) in enumerate(inner):
        members = sorted(
            (PurePosixPath(name).name, offset, size)
            for name, offset, size in list_members(path, start=start)
            if is_image(name)
        )
        names, offsets, sizes = zip(*members, strict=True) if members else ((), (), ())
        builder.add(path, names, labels=label, offsets=offsets, sizes=sizes, stamp=tar_stamp)
    return tuple(wnid for wnid, _ in inner), builder.build()


def _scan_val(path: Path, wnids: list[str], *, classes: tuple[str, ...]) -> Samples:
    """The validation images, ordered by class and name.

    `wnids`: of each image, in the order of their names. Raises DataError, OSError.
    """
    members = sorted(
        (PurePosixPath(name).name, offset, size)
        for name, offset, size in list_members(path)
        if is_image(name)
    )
    if len(members) != len(wnids):
        raise DataError(
            f"{path} contains {len(members):,} images, but the devkit's {_TRUTH} has "
            f"{len(wnids):,} lines"
        )
    number = {wnid: label for label, wnid in enumerate(classes)}
    for wnid, (name, *_) in zip(wnids, members, strict=True):
        if wnid not in number:
            raise DataError(f"{path}:{name} is of class {wnid}, which {TRAIN} does not contain")
    rows = sorted((number[wnid], *member) for wnid, member in zip(wnids, members, strict=True))
    labels, names, offsets, sizes = zip(*rows, strict=True)
    builder = SamplesBuilder()
    builder.add(path, names, labels=labels, offsets=offsets, sizes=sizes, stamp=stamp(path))
    return builder.build()


def _read_devkit(path: Path) -> tuple[dict[int, str], list[int]]:
    """ILSVRC2012_ID -> wnid, and the ID of each validation image.

    Raises DataError if the devkit is broken or SciPy is missing.
    """
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(path, "r:gz") as tar:
            for entry in tar:
                name = PurePosixPath(entry.name).name
                if name in (_META, _TRUTH) and (file := tar.extractfile(entry)) is not None:
                    found[name] = file.read()
        for name in (_META, _TRUTH):
            if name not in found:
                raise DataError(f"{path} contains no {name}")
        return _read_meta(found[_META]), [int(line) for line in found[_TRUTH].split()]
    except DataError:
        raise
    except Exception as error:  # of gzip, tar or MATLAB: each reader has its own
        raise DataError(f"{path} is broken: {error}") from error


def _read_meta(content: bytes) -> dict[int, str]:
    """ILSVRC2012_ID -> wnid, from the bytes of meta.mat."""
    try:
        from scipy.io import loadmat  # only here: SciPy is large and optional
    except ImportError as error:
        raise DataError(
            f"reading the devkit's {_META} needs SciPy: pip install 'resnet-cli[devkit]'"
        ) from error
    synsets: Any = loadmat(io.BytesIO(content), squeeze_me=True)["synsets"]
    return {
        int(number): str(wnid)
        for number, wnid in zip(synsets["ILSVRC2012_ID"], synsets["WNID"], strict=True)
    }

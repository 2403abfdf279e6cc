"""The three archives of ILSVRC 2012 as they are handed out: read in place, nothing is unpacked."""

import io
import tarfile
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from resnet_cli.data.layouts.layout import Layout, Scanned, is_image
from resnet_cli.data.layouts.tars import list_members
from resnet_cli.data.samples import Gathering, Samples, stamp
from resnet_cli.runtime.errors import DataError

TRAIN, VAL, DEVKIT = (
    "ILSVRC2012_img_train.tar",
    "ILSVRC2012_img_val.tar",
    "ILSVRC2012_devkit_t12.tar.gz",
)
META, TRUTH = "meta.mat", "ILSVRC2012_validation_ground_truth.txt"


def recognise(root: Path) -> Layout | None:
    """The layout, where the training archive lies at the root.

    Raises DataError naming the archive that should lie beside it.
    """
    sources = [root / name for name in (TRAIN, VAL, DEVKIT)]
    missing = [path for path in sources if not path.is_file()]
    if missing and sources[0] in missing:
        return None
    if missing:
        raise DataError(f"{missing[0]} is missing: it belongs beside {TRAIN}")
    return Layout("the official tars", tuple(sources), partial(scan, root))


def scan(root: Path) -> Scanned:
    """Every image of both archives, the validation's labels out of the devkit.

    Raises DataError, OSError.
    """
    wnids, truth = read_devkit(root / DEVKIT)
    classes, train = scan_train(root / TRAIN)
    return Scanned(
        classes,
        train,
        scan_val(
            root / VAL, [wnids.get(number, f"ILSVRC2012_ID {number}") for number in truth], classes
        ),
    )


def scan_train(path: Path) -> tuple[tuple[str, ...], Samples]:
    """Classes and images of a tar of one tar a class, `n01440764.tar`."""
    inner = sorted(
        (PurePosixPath(name).stem, offset)
        for name, offset, _ in list_members(path)
        if name.endswith(".tar")
    )
    if not inner:
        raise DataError(f"{path} holds no tar of a class, such as n01440764.tar")
    gathering, when = Gathering(), stamp(path)
    for label, (_, start) in enumerate(inner):
        members = sorted(
            (PurePosixPath(name).name, offset, size)
            for name, offset, size in list_members(path, start=start)
            if is_image(name)
        )
        names, offsets, sizes = zip(*members, strict=True) if members else ((), (), ())
        gathering.add(path, names, labels=label, offsets=offsets, sizes=sizes, stamp=when)
    return tuple(wnid for wnid, _ in inner), gathering.finish()


def scan_val(path: Path, truth: list[str], classes: tuple[str, ...]) -> Samples:
    """The validation images, by class and name; `truth` holds the wnid of each in the order of
    their names.
    """
    members = sorted(
        (PurePosixPath(name).name, offset, size)
        for name, offset, size in list_members(path)
        if is_image(name)
    )
    if len(members) != len(truth):
        raise DataError(
            f"{path} holds {len(members):,} images, but the devkit's {TRUTH} has "
            f"{len(truth):,} lines"
        )
    number = {wnid: label for label, wnid in enumerate(classes)}
    for wnid, (name, *_) in zip(truth, members, strict=True):
        if wnid not in number:
            raise DataError(f"{path}:{name} is of class {wnid}, which {TRAIN} does not hold")
    rows = sorted((number[wnid], *member) for wnid, member in zip(truth, members, strict=True))
    labels, names, offsets, sizes = zip(*rows, strict=True)
    gathering = Gathering()
    gathering.add(path, names, labels=labels, offsets=offsets, sizes=sizes, stamp=stamp(path))
    return gathering.finish()


def read_devkit(path: Path) -> tuple[dict[int, str], list[int]]:
    """ILSVRC2012_ID -> wnid, and the ID of each validation image.

    Raises DataError where the devkit is broken, or SciPy missing.
    """
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(path, "r:gz") as tar:
            for entry in tar:
                name = PurePosixPath(entry.name).name
                if name in (META, TRUTH) and (file := tar.extractfile(entry)) is not None:
                    found[name] = file.read()
        for name in (META, TRUTH):
            if name not in found:
                raise DataError(f"{path} holds no {name}")
        return read_meta(found[META]), [int(line) for line in found[TRUTH].split()]
    except DataError:
        raise
    except Exception as error:  # gzip's, tar's, MATLAB's: every reader has its own
        raise DataError(f"{path} is broken: {error}") from error


def read_meta(content: bytes) -> dict[int, str]:
    """ILSVRC2012_ID -> wnid out of meta.mat."""
    try:
        from scipy.io import loadmat  # only here: SciPy is large, and nothing else needs it
    except ImportError as error:
        raise DataError(
            f"reading the devkit's {META} needs SciPy: pip install 'resnet-cli[devkit]'"
        ) from error
    synsets: Any = loadmat(io.BytesIO(content), squeeze_me=True)["synsets"]
    return {
        int(number): str(wnid)
        for number, wnid in zip(synsets["ILSVRC2012_ID"], synsets["WNID"], strict=True)
    }

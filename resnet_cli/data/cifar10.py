"""CIFAR-10 (Krizhevsky 2009): the official python batches, every file's MD5 checked."""

import hashlib
import os
import socket
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path

import torch
from filelock import FileLock
from torchvision.datasets import CIFAR10
from torchvision.datasets.utils import download_and_extract_archive

from resnet_cli.data.images import Split
from resnet_cli.runtime.errors import DataError

ARCHIVE, ARCHIVE_MD5 = CIFAR10.filename, CIFAR10.tgz_md5
FILES = [
    (name, md5)
    for name, md5 in (
        *CIFAR10.train_list,
        *CIFAR10.test_list,
        (CIFAR10.meta["filename"], CIFAR10.meta["md5"]),
    )
]
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
ATTEMPTS = 3


def load(root: Path, *, download: bool, mirror: str) -> tuple[Split, Split]:
    """Training (50,000) and test (10,000) images: uint8 [N, 3, 32, 32], labels 0..9.

    `root` holds `cifar-10-batches-py/`. Raises DataError naming the first file that is missing or
    not the official one.
    """
    wrong = first_wrong_file(root)
    if wrong and download:
        fetch(
            mirror,
            root,
            archive=ARCHIVE,
            md5=ARCHIVE_MD5,
            is_there=lambda: first_wrong_file(root) is None,
        )
        wrong = first_wrong_file(root)
    if wrong:
        raise DataError(
            f"CIFAR-10: {wrong}; add dataset.download=true to fetch it (170 MB, {mirror}),"
            f" or unpack {ARCHIVE} into {root}, or point dataset.root or RESNET_DATA at a "
            f"folder that holds {CIFAR10.base_folder}/"
        )
    return read(root, train=True), read(root, train=False)


def first_wrong_file(root: Path) -> str | None:
    """What is wrong with the batches under `root`, in words, or None."""
    for name, md5 in FILES:
        path = root / CIFAR10.base_folder / name
        if not path.is_file():
            return f"{path} is missing"
        try:
            found = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        except OSError as error:
            return f"{path} cannot be read ({error.strerror})"
        if found != md5:
            return (
                f"{path} is truncated or altered ({path.stat().st_size:,} bytes, MD5 {found}, "
                f"expected {md5})"
            )
    return None


def read(root: Path, *, train: bool) -> Split:
    """One split through torchvision's reader."""
    data = CIFAR10(root, train=train)
    return Split(torch.from_numpy(data.data).permute(0, 3, 1, 2), torch.tensor(data.targets))


def fetch(
    mirror: str,
    root: Path,
    *,
    archive: str,
    md5: str,
    is_there: Callable[[], bool],
    pause: float = 2.0,
) -> None:
    """Downloads `archive` from `mirror` into `root` and unpacks it, with a progress bar and up to
    three attempts.

    A lock keeps two processes from fetching at once; the second looks again whether it `is_there`.
    Raises DataError when the last attempt fails.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"cannot make the data folder {root}: {error.strerror}") from error
    url = f"{mirror.rstrip('/')}/{archive}"
    with FileLock(root / f".{archive}.lock"), patience(30):
        for attempt in range(1, ATTEMPTS + 1):
            if is_there():
                return
            try:
                download_and_extract_archive(url, str(root), filename=archive, md5=md5)
                return
            # refused, cut off, no address
            except (OSError, EOFError, ValueError, HTTPException, tarfile.TarError) as error:
                reason = str(error)
            except RuntimeError as error:  # another MD5
                (root / archive).unlink(missing_ok=True)
                reason = str(error)
            if attempt < ATTEMPTS:
                time.sleep(pause * attempt)
    raise DataError(
        f"downloading {url} failed {ATTEMPTS} times ({reason});"
        f" check the network, or choose another dataset.mirror, or put {archive} into "
        f"{root}{os.sep} by hand"
    )


@contextmanager
def patience(seconds: float) -> Iterator[None]:
    """While open, a connection that is silent for so long is given up."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)

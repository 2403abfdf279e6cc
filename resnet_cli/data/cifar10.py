"""CIFAR-10 (Krizhevsky 2009): the official Python batches, the MD5 of every file checked."""

import hashlib
import os
import socket
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import Request, urlopen

import torch
from tqdm import tqdm

from resnet_cli.data.images import Split
from resnet_cli.runtime.errors import DISK_ERRORS, DataError
from resnet_cli.runtime.files import naming
from resnet_cli.runtime.locks import locked

# torchvision is imported where its readers are needed: it wakes the compiler, which takes seconds
if TYPE_CHECKING:
    from torchvision.datasets import CIFAR10

_ARCHIVE_SIZE = 170_498_071  # bytes
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_ATTEMPTS = 3
_PART = 2**15  # bytes, between two looks


def load(root: Path, *, download: bool, mirror: str) -> tuple[Split, Split]:
    """Loads the 50,000 training and 10,000 test images: uint8 [N, 3, 32, 32], labels 0..9.

    `root` is the folder that holds `cifar-10-batches-py/`. Raises DataError naming the first file
    that is missing or is not the official one.
    """
    from torchvision.datasets import CIFAR10

    validate_official(
        CIFAR10, root, name="CIFAR-10", size=_ARCHIVE_SIZE, download=download, mirror=mirror
    )
    train, test = (_split(CIFAR10(root, train=train)) for train in (True, False))
    return train, test


def validate_official(
    reader: "type[CIFAR10]", root: Path, *, name: str, size: int, download: bool, mirror: str
) -> None:
    """Checks the MD5 of every file that a reader of torchvision reads, after a download where they
    are missing and that is allowed.

    `size` is the archive's, in bytes. Raises DataError naming the first file that is missing or is
    not the official one.
    """
    wrong = _first_wrong_file(reader, root)
    if wrong and download:
        download_archive(
            mirror,
            root,
            archive=reader.filename,
            size=size,
            md5=reader.tgz_md5,
            is_complete=lambda: _first_wrong_file(reader, root) is None,
        )
        wrong = _first_wrong_file(reader, root)
    if wrong:
        raise DataError(
            f"{name}: {wrong}; add dataset.download=true to download it ({size / 1e6:.0f} MB, "
            f"{mirror}), or unpack {reader.filename} into {root}, or point dataset.root or "
            f"RESNET_DATA at a folder that holds {reader.base_folder}/"
        )


def _first_wrong_file(reader: "type[CIFAR10]", root: Path) -> str | None:
    """Describes the first missing or altered file under `root`; None if all are in order."""
    meta = (reader.meta["filename"], reader.meta["md5"])
    for name, md5 in (*reader.train_list, *reader.test_list, meta):
        path = root / reader.base_folder / name
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


def _split(data: "CIFAR10") -> Split:
    return Split(torch.from_numpy(data.data).permute(0, 3, 1, 2), torch.tensor(data.targets))


def download_archive(
    mirror: str,
    root: Path,
    *,
    archive: str,
    size: int,
    md5: str,
    is_complete: Callable[[], bool],
    pause: float = 2.0,
) -> None:
    """Downloads `archive` from `mirror` into `root` and unpacks it, in up to three attempts.

    A lock keeps two processes from downloading at once; the second finds that the data
    `is_complete`. `pause`: seconds before the second attempt. Raises DataError when the last
    attempt fails, and OSError where the disk is full.
    """
    from torchvision.datasets.utils import check_integrity, extract_archive

    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"cannot create the data folder {root}: {error.strerror}") from error
    url = f"{mirror.rstrip('/')}/{archive}"
    with locked(root / f".{archive}.lock"), _socket_timeout(30):
        for attempt in range(1, _ATTEMPTS + 1):
            if is_complete():
                return
            try:
                if not check_integrity(root / archive, md5):
                    _fetch(url, root / archive, size=size)
                    if not check_integrity(root / archive, md5):
                        raise ValueError(f"not the archive of MD5 {md5}")
                extract_archive(str(root / archive), str(root))
                return
            # connection refused or cut off, unknown host, truncated archive
            except (OSError, EOFError, ValueError, HTTPException, tarfile.TarError) as error:
                if isinstance(error, OSError) and error.errno in DISK_ERRORS:
                    raise
                reason = str(error)
            finally:  # half an archive stays for nobody, after a signal neither
                if not check_integrity(root / archive, md5):
                    (root / archive).unlink(missing_ok=True)
            if attempt < _ATTEMPTS:
                time.sleep(pause * attempt)
    raise DataError(
        f"downloading {url} failed {_ATTEMPTS} times ({reason});"
        f" check the network, or choose another dataset.mirror, or put {archive} into "
        f"{root}{os.sep} by hand"
    )


def _fetch(url: str, path: Path, *, size: int) -> None:
    """Downloads `size` bytes. Raises ValueError for more: a mirror may send without end."""
    request = Request(url, headers={"User-Agent": "resnet_cli"})
    with (
        urlopen(request) as response,
        naming(path),
        path.open("wb") as file,
        tqdm(total=size, unit="B", unit_scale=True) as bar,
    ):
        while part := response.read(_PART):
            if bar.n + len(part) > size:
                raise ValueError(f"it sends more than the archive's {size:,} bytes")
            file.write(part)
            bar.update(len(part))


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    """While open, a connection that sends nothing for so long fails."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)

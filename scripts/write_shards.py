"""One tar shard after the other out of a split's images, the same bytes every time;
prepare_imagenet.py says which and where.
"""

import io
import os
import tarfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from PIL import Image
from tqdm import tqdm

from resnet_cli.data.decode import decode
from resnet_cli.data.imagenet import ImageFolders
from resnet_cli.data.samples import Samples
from resnet_cli.runtime.errors import DataError


@dataclass(frozen=True)
class Shard:
    """A stretch of a split, and the tar it becomes."""

    name: str
    samples: Samples
    first: int
    last: int  # not in it


@dataclass(frozen=True)
class Reducer:
    """Source file -> bytes and suffix in the shard."""

    shorter_side: int | None
    quality: int

    def __call__(self, samples: Samples, index: int) -> tuple[bytes, str]:
        content = samples.read(index)
        suffix = PurePath(samples.name(index)).suffix.lower()
        if self.shorter_side is not None:
            image = reduce(content, where=samples.path(index), shorter_side=self.shorter_side)
            if image is not None:
                buffer = io.BytesIO()
                image.save(buffer, "JPEG", quality=self.quality)
                return buffer.getvalue(), ".jpg"
        return content, ".jpg" if suffix == ".jpeg" else suffix


def reduce(content: bytes, *, where: str, shorter_side: int) -> Image.Image | None:
    """The image with its shorter side reduced, in its own aspect ratio, or None where it is
    short enough. Raises DataError.
    """
    image = decode(content, where=where)
    short = min(image.size)
    if short <= shorter_side:
        return None
    width, height = (max(shorter_side, round(side * shorter_side / short)) for side in image.size)
    return image.resize((width, height), Image.Resampling.BICUBIC)


def plan(folders: ImageFolders, per_shard: int) -> list[Shard]:
    """Validation first: it is soon there to be looked at."""
    return [
        Shard(f"{split}-{number:06}.tar", samples, first, min(first + per_shard, len(samples)))
        for split, samples in (("val", folders.val), ("train", folders.train))
        for number, first in enumerate(range(0, len(samples), per_shard))
    ]


def name_keys(samples: Samples, classes: tuple[str, ...]) -> list[str]:
    """`class/image` of every sample: webdataset's key ends at the first dot, so an image's name
    must have none.

    Raises DataError where two images would have the same.
    """
    keys: list[str] = []
    taken: set[str] = set()
    for index in range(len(samples)):
        path = PurePath(samples.name(index))
        stem = path.stem.replace(".", "_")
        folder = classes[samples.labels[index]]
        key = f"{folder}/{stem}"
        if key in taken:
            key = f"{folder}/{stem}_{path.suffix[1:]}"  # a.jpg and a.png
        if key in taken:
            raise DataError(
                f"{samples.path(index)}: another image of its class is named so too, apart "
                "from dots; rename one"
            )
        taken.add(key)
        keys.append(key)
    return keys


def ahead(
    pool: ThreadPoolExecutor, function: Callable[[int], Any], items: Iterable[int], *, depth: int
) -> Iterator[Any]:
    """The results in order, `depth` of them in the making."""
    waiting: deque[Future[Any]] = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) > depth:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def write_shard(
    path: Path, shard: Shard, *, keys: list[str], reducer: Reducer, workers: int, bar: "tqdm[Any]"
) -> None:
    """Writes a shard under another name, flushes it and renames it."""
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        # The threads end with the shard; Pillow lets go of the interpreter while it works.
        with tarfile.open(fileobj=file, mode="w") as tar, ThreadPoolExecutor(workers) as pool:
            indices = range(shard.first, shard.last)
            for index, (content, suffix) in zip(
                indices,
                ahead(pool, lambda i: reducer(shard.samples, i), indices, depth=4 * workers),
                strict=True,
            ):
                for name, data in (
                    (keys[index] + suffix, content),
                    (keys[index] + ".cls", str(shard.samples.labels[index]).encode()),
                ):
                    entry = tarfile.TarInfo(name)  # no time, no owner: the same bytes every time
                    entry.size = len(data)
                    tar.addfile(entry, io.BytesIO(data))
                bar.update()
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)

"""ImageNet, in any layout, as tar shards: a few hundred large files, not a million small ones.

    python scripts/prepare_imagenet.py /data/ILSVRC2012 /data/imagenet-shards
    python scripts/prepare_imagenet.py /data/ILSVRC2012 /data/imagenet-512 --resize 512

The source is any layout that dataset.root takes; nothing of it is unpacked or changed. Each shard
holds `class/image.jpg` and `class/image.cls` (the class's line in classes.txt, from 0), the
webdataset form, in the order of the class folders: whoever streams them must shuffle. Images are
copied byte for byte; with --resize those whose shorter side is longer are reduced to it, turned
upright and encoded as JPEG, and the others still copied.

Started again, it verifies the shards that are there, keeps them and goes on. A shard gets its name
only once it is whole. The same source and options give the same bytes; `sha256sum -c SHA256SUMS`
checks them.
"""

import argparse
import hashlib
import io
import json
import os
import sys
import tarfile
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from filelock import Timeout
from PIL import Image
from tqdm import tqdm

from resnet_cli.data.decode import decode
from resnet_cli.data.imagenet import ImageFolders, open_folders
from resnet_cli.data.layouts.shards import CLASSES, SUMS, UNFINISHED
from resnet_cli.data.samples import Samples
from resnet_cli.runtime.errors import DataError, UserError, run_command
from resnet_cli.runtime.files import write_whole
from resnet_cli.runtime.locks import locked

ORIGIN = "prepare.json"  # what the shards in a folder are made of, and how

Sums = dict[str, str]  # file -> SHA-256


@dataclass(frozen=True, kw_only=True)
class Shard:
    """A stretch of a split, and the tar file that it becomes."""

    name: str
    samples: Samples
    keys: list[str]  # of all samples of the split
    indices: range


@dataclass(frozen=True, kw_only=True)
class Packer:
    """Writes shards."""

    shorter_side: int | None  # what larger images are reduced to
    quality: int
    workers: int

    def content(self, samples: Samples, index: int) -> tuple[bytes, str]:
        """Bytes and suffix of an image in its shard. Raises DataError."""
        content = samples.read(index)
        if self.shorter_side is not None:
            image = decode(content, where=samples.path(index))
            short = min(image.size)
            if short > self.shorter_side:
                scale = self.shorter_side / short
                width, height = (max(self.shorter_side, round(scale * one)) for one in image.size)
                buffer = io.BytesIO()
                resized = image.resize((width, height), Image.Resampling.BICUBIC)
                resized.save(buffer, "JPEG", quality=self.quality)
                return buffer.getvalue(), ".jpg"
        suffix = PurePath(samples.name(index)).suffix.lower()
        return content, ".jpg" if suffix == ".jpeg" else suffix

    def contents(self, shard: Shard) -> Iterator[tuple[bytes, str]]:
        """In order, prepared by threads a few images ahead: Pillow releases the GIL."""
        waiting: deque[Future[tuple[bytes, str]]] = deque()
        with ThreadPoolExecutor(self.workers) as pool:
            for index in shard.indices:
                waiting.append(pool.submit(self.content, shard.samples, index))
                if len(waiting) > 4 * self.workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def write(self, path: Path, shard: Shard, bar: "tqdm[Any]") -> None:
        """Writes a shard under another name, flushes it to the disk and renames it."""
        part = path.with_name(path.name + ".part")
        with part.open("wb") as file:
            with tarfile.open(fileobj=file, mode="w") as tar:
                images = zip(shard.indices, self.contents(shard), strict=True)
                for index, (content, suffix) in images:
                    label = str(shard.samples.labels[index]).encode()
                    for ending, data in ((suffix, content), (".cls", label)):
                        # Without time and owner, so that the bytes are always the same.
                        entry = tarfile.TarInfo(shard.keys[index] + ending)
                        entry.size = len(data)
                        tar.addfile(entry, io.BytesIO(data))
                    bar.update()
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)


def plan(folders: ImageFolders, per_shard: int) -> list[Shard]:
    """Validation first, so that there is soon something to look at. Raises DataError."""
    shards = []
    for split, samples in (("val", folders.val), ("train", folders.train)):
        keys = name_keys(samples, folders.classes)
        for number, first in enumerate(range(0, len(samples), per_shard)):
            indices = range(first, min(first + per_shard, len(samples)))
            name = f"{split}-{number:06}.tar"
            shards.append(Shard(name=name, samples=samples, keys=keys, indices=indices))
    return shards


def name_keys(samples: Samples, classes: tuple[str, ...]) -> list[str]:
    """`class/image` of every sample, without dots in the image's name: there webdataset's key ends.

    Raises DataError if two images would have the same.
    """
    keys: dict[str, None] = {}
    for index in range(len(samples)):
        path = PurePath(samples.name(index))
        key = f"{classes[samples.labels[index]]}/{path.stem.replace('.', '_')}"
        if key in keys:
            key = f"{key}_{path.suffix[1:]}"  # a.jpg and a.png
        if key in keys:
            raise DataError(
                f"{samples.path(index)}: apart from dots another image of its class has the same "
                "name; rename one"
            )
        keys[key] = None
    return list(keys)


def fingerprint(folders: ImageFolders) -> str:
    """Of the images' names and labels; a file's content may be mended between two starts."""
    digest = hashlib.sha256(json.dumps(folders.classes).encode())
    for samples in (folders.train, folders.val):
        for column in (samples.names, samples.name_length, samples.labels):
            digest.update(np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()


def checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_sums(destination: Path) -> Sums:
    """Of what is finished so far."""
    for path in (destination / SUMS, destination / UNFINISHED):
        if path.is_file():
            pairs = (line.split("  ", 1) for line in path.read_text().splitlines())
            return {name: code for code, name in pairs}
    return {}


def format_sums(sums: Sums) -> str:
    return "".join(f"{code}  {name}\n" for name, code in sorted(sums.items()))


def claim(destination: Path, origin: dict[str, Any]) -> None:
    """Marks the folder as made of these images with these options.

    Raises UserError if it holds shards that were made otherwise.
    """
    path = destination / ORIGIN
    if not path.is_file():
        if strangers := sorted(destination.glob("*.tar")):
            raise UserError(f"{strangers[0]} was not made here: choose an empty folder")
        write_whole(path, json.dumps(origin, indent=2) + "\n")
        return
    try:
        before = json.loads(path.read_text())
    except ValueError:
        before = {}
    for key, value in origin.items():
        if key in ("source", "layout") or before.get(key) == value:  # images may be moved
            continue
        made = f"{key} {before.get(key, 'unknown')}, not {value}"
        raise UserError(
            f"{destination} was begun with {'other images' if key == 'fingerprint' else made}: "
            "choose another folder, or delete this one to begin anew"
        )


def prepare(source: Path, destination: Path, *, packer: Packer, per_shard: int) -> None:
    """Writes what is not there yet. Raises UserError, DataError, OSError."""
    folders = open_folders(source, say=lambda line: print(line, file=sys.stderr))
    if not len(folders.train):
        raise DataError(f"{source} has no training images, only val/: nothing to make shards of")
    for remark in folders.remarks:
        print(remark, file=sys.stderr)
    origin = {"source": str(source), "layout": folders.layout, "classes": len(folders.classes)}
    origin |= {"train": len(folders.train), "val": len(folders.val)}
    origin |= {"resize": packer.shorter_side, "quality": packer.quality, "per_shard": per_shard}
    claim(destination, origin | {"fingerprint": fingerprint(folders)})
    shards = plan(folders, per_shard)
    sums, unfinished = read_sums(destination), destination / UNFINISHED
    classes = destination / CLASSES
    if not classes.is_file() or checksum(classes) != sums.get(CLASSES):
        write_whole(classes, "".join(f"{name}\n" for name in folders.classes))
        sums[CLASSES] = checksum(classes)
    total = sum(len(shard.indices) for shard in shards)
    with tqdm(total=total, unit="image", dynamic_ncols=True, disable=None) as bar:
        for shard in shards:
            path = destination / shard.name
            bar.set_description(shard.name)
            if shard.name in sums and path.is_file():
                if checksum(path) == sums[shard.name]:
                    bar.update(len(shard.indices))
                    continue
                bar.write(f"{path} is not as it was written: writing it again", file=sys.stderr)
            # Before the shard, so that nobody takes a part for the whole.
            (destination / SUMS).unlink(missing_ok=True)
            write_whole(unfinished, format_sums(sums))
            packer.write(path, shard, bar)
            sums[shard.name] = checksum(path)
            write_whole(unfinished, format_sums(sums))
    if unfinished.is_file():
        os.replace(unfinished, destination / SUMS)
    size = sum((destination / shard.name).stat().st_size for shard in shards) / 1e9
    images = f"{len(folders.train):,} + {len(folders.val):,} images in {len(shards):,} shards"
    print(f"{images}, {size:.2f} GB: dataset.root={destination}")


def positive(word: str) -> int:
    if not word.isdecimal() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"{word} is no number above 0")
    return int(word)


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("source", type=Path, help="the images, as dataset.root takes them")
    add("destination", type=Path, help="a folder for the shards")
    add("--resize", type=positive, metavar="PIXELS", help="of the shorter side; never enlarges")
    add("--quality", type=positive, default=95, help="of JPEGs that are reduced (default 95)")
    add("--per-shard", type=positive, default=5000, metavar="N", help="images (default 5000)")
    add("--workers", type=positive, default=os.cpu_count() or 1, help="threads (default: cores)")
    options = parser.parse_args(words)
    source, destination = (
        Path(os.path.abspath(path)) for path in (options.source, options.destination)
    )
    if source == destination:
        raise UserError(f"{source} is source and destination")
    if options.quality > 100:
        raise UserError(f"--quality {options.quality}: at most 100")
    packer = Packer(shorter_side=options.resize, quality=options.quality, workers=options.workers)
    try:
        destination.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise UserError(f"{destination} is no folder") from None
    try:
        with locked(destination / ".prepare.lock", timeout=0):
            prepare(source, destination, packer=packer, per_shard=options.per_shard)
    except Timeout:
        raise UserError(f"another process is writing to {destination}") from None
    return 0


if __name__ == "__main__":
    sys.exit(run_command("prepare_imagenet", main))

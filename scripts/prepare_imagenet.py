"""ImageNet, however it lies, as tar shards: a few hundred large files instead of a million small
ones.

    python scripts/prepare_imagenet.py /data/ILSVRC2012 /data/imagenet-shards
    python scripts/prepare_imagenet.py /data/ILSVRC2012 /data/imagenet-512 --resize 512

The source is any layout that dataset.root takes; nothing of it is unpacked or changed. Each shard
holds `class/image.jpg` and `class/image.cls` (the class's line in classes.txt, from 0), the
webdataset form, in the order of the class folders: whoever streams them must shuffle. Images are
copied byte for byte; with --resize those whose shorter side is longer are reduced to it, turned
upright and encoded as JPEG, and the others still copied.

Started again, it verifies the shards there are, keeps them and goes on. A shard has its name only
once it is whole. The same source and options give the same bytes. `sha256sum -c SHA256SUMS` checks
the result.
"""

import argparse
import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from tqdm import tqdm
from write_shards import Reducer, name_keys, plan, write_shard

from resnet_cli.data.imagenet import ImageFolders, open_folders
from resnet_cli.data.layouts.shards import CLASSES, SUMS, UNFINISHED
from resnet_cli.runtime.errors import DataError, UserError, run_command
from resnet_cli.runtime.files import write_whole

ORIGIN = "prepare.json"  # what the shards in a folder are made of, and how

Sums = dict[str, str]  # file -> SHA-256


def fingerprint(folders: ImageFolders) -> str:
    """Of which images there are, with their names and labels; what is in a file may be mended
    between two starts.
    """
    digest = hashlib.sha256(json.dumps(folders.classes).encode())
    for samples in (folders.train, folders.val):
        for column in (samples.names, samples.name_length, samples.labels):
            digest.update(np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_sums(destination: Path) -> Sums:
    """Of the shards that were finished so far."""
    for name in (SUMS, UNFINISHED):
        if (destination / name).is_file():
            return {
                file: code
                for code, file in (
                    line.split("  ", 1) for line in (destination / name).read_text().splitlines()
                )
            }
    return {}


def validate_origin(destination: Path, origin: dict[str, Any]) -> None:
    """Claims the folder for these images and options.

    Raises UserError where it holds shards of others.
    """
    path = destination / ORIGIN
    if not path.is_file():
        strangers = sorted(destination.glob("*.tar"))
        if strangers:
            raise UserError(f"{strangers[0]} was not made here: choose an empty folder")
        write_whole(path, json.dumps(origin, indent=2) + "\n")
        return
    try:
        before = json.loads(path.read_text())
    except ValueError:
        before = {}
    for key, value in origin.items():
        # the same images may have been moved
        if key not in ("source", "layout") and before.get(key) != value:
            what = (
                "other images"
                if key == "fingerprint"
                else f"{key} {before.get(key, 'unknown')}, not {value}"
            )
            raise UserError(
                f"{destination} was begun with {what}: choose another folder, or delete this "
                "one to begin anew"
            )


def prepare(
    source: Path, destination: Path, *, reducer: Reducer, per_shard: int, workers: int
) -> None:
    """Writes what is not there yet. Raises UserError, DataError, OSError."""
    folders = open_folders(source, say=lambda line: print(line, file=sys.stderr))
    if not len(folders.train):
        raise DataError(
            f"{source} has no training images, only those of val/: there is nothing to make "
            "shards for"
        )
    for remark in folders.remarks:
        print(remark, file=sys.stderr)
    counts = {"classes": len(folders.classes), "train": len(folders.train), "val": len(folders.val)}
    options = {"resize": reducer.shorter_side, "quality": reducer.quality, "per_shard": per_shard}
    validate_origin(
        destination,
        {"source": str(source), "layout": folders.layout}
        | counts
        | options
        | {"fingerprint": fingerprint(folders)},
    )
    keys = {
        id(samples): name_keys(samples, folders.classes) for samples in (folders.train, folders.val)
    }

    sums = read_sums(destination)
    if not (destination / CLASSES).is_file() or digest(destination / CLASSES) != sums.get(CLASSES):
        write_whole(destination / CLASSES, "".join(f"{name}\n" for name in folders.classes))
        sums[CLASSES] = digest(destination / CLASSES)
    shards = plan(folders, per_shard)
    with tqdm(
        total=counts["train"] + counts["val"], unit="image", dynamic_ncols=True, disable=None
    ) as bar:
        for shard in shards:
            path = destination / shard.name
            bar.set_description(shard.name)
            if shard.name in sums and path.is_file():
                if digest(path) == sums[shard.name]:
                    bar.update(shard.last - shard.first)
                    continue
                bar.write(f"{path} is not as it was written: it is written again", file=sys.stderr)
            (destination / SUMS).unlink(missing_ok=True)
            # before the shard: no one shall take a part for the whole
            write_whole(destination / UNFINISHED, format_sums(sums))
            write_shard(
                path, shard, keys=keys[id(shard.samples)], reducer=reducer, workers=workers, bar=bar
            )
            sums[shard.name] = digest(path)
            write_whole(destination / UNFINISHED, format_sums(sums))
    if (destination / UNFINISHED).is_file():
        os.replace(destination / UNFINISHED, destination / SUMS)
    size = sum((destination / shard.name).stat().st_size for shard in shards)
    print(
        f"{counts['train']:,} + {counts['val']:,} images in {len(shards):,} shards, "
        f"{size / 1e9:.2f} GB: dataset.root={destination}"
    )


def format_sums(sums: Sums) -> str:
    return "".join(f"{code}  {name}\n" for name, code in sorted(sums.items()))


def positive(word: str) -> int:
    if not word.isdecimal() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"{word} is no number above 0")
    return int(word)


def main(words: list[str] | None = None) -> int:
    summary, _, rest = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, help="the images, as dataset.root takes them")
    parser.add_argument("destination", type=Path, help="a folder for the shards")
    parser.add_argument(
        "--resize",
        type=positive,
        metavar="PIXELS",
        help="reduce the shorter side to this; never enlarges",
    )
    parser.add_argument(
        "--quality", type=positive, default=95, help="of the JPEGs that are reduced (default 95)"
    )
    parser.add_argument(
        "--per-shard",
        type=positive,
        default=5000,
        metavar="N",
        help="images in a shard (default 5000: about 0.5 GB)",
    )
    parser.add_argument(
        "--workers",
        type=positive,
        default=os.cpu_count() or 1,
        help="threads (default: one a core)",
    )
    options = parser.parse_args(words)
    source, destination = (
        Path(os.path.abspath(path)) for path in (options.source, options.destination)
    )
    if source == destination:
        raise UserError(f"{source} is source and destination")
    if options.quality > 100:
        raise UserError(f"--quality {options.quality}: at most 100")
    try:
        destination.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise UserError(f"{destination} is no folder") from None
    try:
        with FileLock(destination / ".prepare.lock", timeout=0):
            reducer = Reducer(options.resize, options.quality)
            prepare(
                source,
                destination,
                reducer=reducer,
                per_shard=options.per_shard,
                workers=options.workers,
            )
    except Timeout:
        raise UserError(f"another process is writing to {destination}") from None
    return 0


if __name__ == "__main__":
    sys.exit(run_command("prepare_imagenet", main))

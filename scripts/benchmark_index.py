"""How long the index of ImageNet takes to build and to load, and how much memory: on a made-up tree
of empty files.

    python scripts/benchmark_index.py                       1,000 classes of 1,281 + 50 files
    python scripts/benchmark_index.py --per-class 200 --json index.json

The tree is made in a temporary folder (--folder: another) and deleted. Each step is a process of
its own, so that its peak memory is its own; the folder's entries are cached by the system, as
nothing here can drop them, so a first look at a slow disk takes longer. Where the tree is smaller
than ImageNet, `imagenet_seconds` is the time scaled by the number of files.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from resnet_cli.data.imagenet import open_folders
from resnet_cli.runtime.device import peak_memory

CLASSES, TRAIN, VAL = 1000, 1281, 50  # 1,281,000 + 50,000 files; ImageNet has 1,281,167 + 50,000
Figures = dict[str, float]


def make_tree(root: Path, *, classes: int, per_class: int, val_per_class: int) -> None:
    """Empty files named as ImageNet's."""
    for number in range(classes):
        wnid = f"n{number + 1_440_764:08}"
        for split, name, count in (
            ("train", f"{wnid}_{{}}.JPEG", per_class),
            ("val", "ILSVRC2012_val_{:08}.JPEG", val_per_class),
        ):
            folder = root / split / wnid
            folder.mkdir(parents=True)
            for image in range(count):
                os.close(
                    os.open(
                        folder / name.format(number * count + image),
                        os.O_CREAT | os.O_WRONLY,
                        0o644,
                    )
                )


def measure_here(root: Path) -> Figures:
    """Opens `root` in this process: seconds, peak MiB above the imports', files."""
    before = peak_memory()
    start = time.perf_counter()
    folders = open_folders(root)
    seconds = time.perf_counter() - start
    return {
        "seconds": seconds,
        "mib": 1024 * (peak_memory() - before),
        "files": len(folders.train) + len(folders.val),
    }


def measure(
    folder: Path | None = None,
    *,
    classes: int = CLASSES,
    per_class: int = TRAIN,
    val_per_class: int = VAL,
) -> dict[str, Figures]:
    """Builds, then loads the index of a made-up tree: seconds, peak MiB, files of each, and the
    seconds for ImageNet's count.
    """
    with tempfile.TemporaryDirectory(dir=folder) as place:
        root, caches = Path(place) / "images", Path(place) / "caches"
        make_tree(root, classes=classes, per_class=per_class, val_per_class=val_per_class)
        figures: dict[str, Figures] = {}
        for step in ("build", "load"):
            command = [sys.executable, __file__, "--measure", str(root)]
            environment = os.environ | {"XDG_CACHE_HOME": str(caches)}
            done = subprocess.run(
                command, env=environment, check=True, stdout=subprocess.PIPE, text=True
            )
            figures[step] = json.loads(done.stdout)
            figures[step]["imagenet_seconds"] = (
                figures[step]["seconds"] * 1_331_167 / figures[step]["files"]
            )
        figures["load"]["index_mib"] = (
            sum(path.stat().st_size for path in caches.rglob("*.npz")) / 1024**2
        )
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--classes", type=int, default=CLASSES)
    parser.add_argument("--per-class", type=int, default=TRAIN, help="training files")
    parser.add_argument(
        "--folder",
        type=Path,
        help="where the tree is made (default: the system's temporary folder)",
    )
    parser.add_argument("--json", type=Path, help="also write the figures there")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure_here(options.measure)))
        return
    figures = measure(options.folder, classes=options.classes, per_class=options.per_class)
    for step, found in figures.items():
        print(f"{step:<6}" + "  ".join(f"{name} {value:,.2f}" for name, value in found.items()))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()

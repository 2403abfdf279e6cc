"""The index of a made-up tree of ImageNet's size: time and memory to build it and to load it.

The tree of empty files is made in a temporary folder and deleted. Its entries are in the system's
cache, as nothing here can drop them, so a first look at a slow disk takes longer.
"""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.benchmark.plan import Deadline, Part, TimeUp
from scripts.benchmark.process import Contestant

IMAGENET = 1_281_167 + 50_000


@dataclass(frozen=True, kw_only=True)
class Tree:
    """How large, and where: `folder` or the system's temporary folder."""

    folder: Path | None = None
    classes: int = 1000
    per_class: int = 1281  # training files
    val_per_class: int = 50

    def make(self, root: Path, deadline: Deadline) -> None:
        """Empty files named as ImageNet's. Raises TimeUp."""
        for number in range(self.classes):
            if not deadline.left():
                raise TimeUp
            wnid = f"n{number + 1_440_764:08}"
            for split, name, count in (
                ("train", f"{wnid}_{{}}.JPEG", self.per_class),
                ("val", "ILSVRC2012_val_{:08}.JPEG", self.val_per_class),
            ):
                folder = root / split / wnid
                folder.mkdir(parents=True)
                for image in range(count):
                    path = folder / name.format(number * count + image)
                    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))


def measure(tree: Tree, deadline: Deadline) -> tuple[str, Any]:
    """Seconds, peak MiB and files of building and loading.

    `imagenet_seconds` is the time scaled to ImageNet's number of files. Raises NotMeasured.
    """
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=tree.folder) as place:
        root, caches = Path(place) / "images", Path(place) / "caches"
        tree.make(root, deadline)
        for step in ("build", "load"):  # the first finds no index there
            with Contestant(["open_index", str(root), str(caches)], deadline) as one:
                figures = one.ask()
            figures["imagenet_seconds"] = figures["seconds"] * IMAGENET / figures["files"]
            found[step] = figures
        size = sum(path.stat().st_size for path in caches.rglob("*.npz"))
        found["load"]["index_mib"] = size / 2**20
    lines = [
        f"{step}: {figures['seconds']:.2f} s for {figures['files']:,} files "
        f"({figures['imagenet_seconds']:.2f} s for ImageNet's), {figures['mib']:,.0f} MiB"
        for step, figures in found.items()
    ]
    return "  \n".join(lines), found


def parts(tree: Tree, deadline: Deadline) -> list[Part]:
    title = "Index of a made-up tree of photographs"
    return [Part(key="index", title=title, measure=lambda: measure(tree, deadline))]

"""A folder of a person's own pictures, without labels."""

import os
from pathlib import Path

from resnet_cli.data.layouts.layout import is_image
from resnet_cli.data.samples import Gathering, Samples
from resnet_cli.runtime.errors import DataError


def pictures(folder: Path) -> Samples:
    """Every picture in `folder` and below, sorted by path, or the one file it is. Their labels mean
    nothing.

    Raises DataError where there are none.
    """
    found = Gathering()
    if folder.is_file():
        found.add(folder.parent, [folder.name], labels=0)
        return found.finish()
    if not folder.is_dir():
        raise DataError(f"--images {folder}: no such folder or file")
    for here, below, names in os.walk(folder):
        below.sort()
        found.add(Path(here), sorted(name for name in names if is_image(name)), labels=0)
    samples = found.finish()
    if not len(samples):
        raise DataError(f"--images {folder}: no picture (.jpg, .jpeg, .png, .bmp, .webp) in it")
    return samples

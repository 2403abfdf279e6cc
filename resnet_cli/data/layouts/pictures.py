"""A folder of the user's own pictures, without labels."""

import os
from pathlib import Path

from resnet_cli.data.layouts.layout import is_image
from resnet_cli.data.samples import Samples, SamplesBuilder
from resnet_cli.runtime.errors import DataError


def pictures(folder: Path) -> Samples:
    """Every picture in `folder` and below, sorted by path; or one picture, if it is a file.

    Their labels are all 0. Raises DataError if there is none.
    """
    builder = SamplesBuilder()
    if folder.is_file():
        builder.add(folder.parent, [folder.name], labels=0)
        return builder.build()
    if not folder.is_dir():
        raise DataError(f"--images {folder}: no such folder or file")
    for here, below, names in os.walk(folder):
        below.sort()
        builder.add(Path(here), sorted(name for name in names if is_image(name)), labels=0)
    samples = builder.build()
    if not len(samples):
        raise DataError(f"--images {folder}: no picture (.jpg, .jpeg, .png, .bmp, .webp) in it")
    return samples

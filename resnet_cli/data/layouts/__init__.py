"""Where ImageNet, or any images in classes, may lie: recognised by looking."""

from pathlib import Path

from resnet_cli.data.layouts import folders
from resnet_cli.data.layouts.layout import Layout, Scanned, list_some
from resnet_cli.errors import DataError

__all__ = ["Layout", "Scanned", "recognise"]

LOOKED_FOR = "train/ and val/ with a folder a class"


def recognise(root: Path) -> Layout:
    """The layout of the images below `root`. Raises DataError saying what was looked for and what was found."""
    mend = "point dataset.root or RESNET_DATA at the images"
    if not root.is_dir():
        raise DataError(f"{root} is {'no folder' if root.exists() else 'missing'}; {mend}")
    for look in (folders.recognise,):
        layout = look(root)
        if layout is not None:
            return layout
    raise DataError(f"{root} holds no images in classes: looked for {LOOKED_FOR}; found {list_some(root)}; {mend}")

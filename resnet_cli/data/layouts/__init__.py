"""Where ImageNet, or any images in classes, may lie: recognised by looking."""

from pathlib import Path

from resnet_cli.data.layouts import folders, kaggle, official, shards
from resnet_cli.data.layouts.layout import Layout, Scanned, list_folders, list_some
from resnet_cli.runtime.errors import DataError

__all__ = ["Layout", "Scanned", "recognise"]

LOOKED_FOR = (
    "train/ and val/ with a folder a class",
    f"Kaggle's {folders.BASES[1]}/ and {kaggle.SOLUTION}",
    "tar shards train*.tar and val*.tar",
    official.TRAIN,
)


def recognise(root: Path) -> Layout:
    """The layout of the images below `root`.

    Raises DataError saying what was looked for and what was found.
    """
    if not root.is_dir():
        raise DataError(
            f"{root} is {'no folder' if root.exists() else 'missing'}; point dataset.root or "
            "RESNET_DATA at the images"
        )
    layout = look(root)
    if layout is None:
        raise DataError(
            f"no images in classes in {root}: looked for {', '.join(LOOKED_FOR)}; found "
            f"{list_some(root)}{nearby(root)}"
        )
    return layout


def look(root: Path) -> Layout | None:
    for recognise_one in (
        folders.recognise,
        kaggle.recognise,
        shards.recognise,
        official.recognise,
        folders.recognise_val,
    ):
        layout = recognise_one(root)
        if layout is not None:
            return layout
    return None


def nearby(root: Path) -> str:
    """A hint at the first folder in `root` that would do."""
    for name in list_folders(root)[:50]:
        try:
            if look(root / name) is not None:
                return f"; did you mean dataset.root={root / name}?"
        except (DataError, OSError):
            continue
    return ""

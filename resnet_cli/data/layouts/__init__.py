"""The layouts in which ImageNet, or any images in classes, may be stored on disk."""

from pathlib import Path

from resnet_cli.data.layouts import folders, kaggle, official, shards, tiny
from resnet_cli.data.layouts.layout import NOTHING, Layout, Scanned, describe_contents, list_folders
from resnet_cli.runtime.errors import DataError

__all__ = ["NOTHING", "Layout", "Scanned", "recognize"]

_LAYOUTS = (
    "train/ and val/ with one folder per class",
    "class folders alone",
    f"Kaggle's {folders.BASES[1]}/ and {kaggle.SOLUTION}",
    "tar shards train*.tar and val*.tar",
    official.TRAIN,
)


def recognize(root: Path) -> Layout:
    """Recognizes the layout of the images below `root`.

    Raises DataError naming the known layouts and what was found instead.
    """
    if not root.is_dir():
        raise DataError(
            f"{root} is {'not a folder' if root.exists() else 'missing'}; point dataset.root or "
            "RESNET_DATA at the images"
        )
    layout = _recognize_any(root)
    if layout is None:
        raise DataError(
            f"no images in classes in {root}: looked for {', '.join(_LAYOUTS)}; found "
            f"{describe_contents(root)}{_suggest_folder(root)}"
        )
    return layout


def _recognize_any(root: Path) -> Layout | None:
    for recognize_one in (
        tiny.recognize,
        folders.recognize,
        kaggle.recognize,
        shards.recognize,
        official.recognize,
        folders.recognize_val,
        folders.recognize_unsplit,
    ):
        layout = recognize_one(root)
        if layout is not None:
            return layout
    return None


def _suggest_folder(root: Path) -> str:
    """A hint at the first folder in `root` whose layout is known."""
    for name in list_folders(root)[:50]:
        try:
            found = _recognize_any(root / name)
            if found is not None and found.is_split:
                return f"; did you mean dataset.root={root / name}?"
        except (DataError, OSError):
            continue
    return ""

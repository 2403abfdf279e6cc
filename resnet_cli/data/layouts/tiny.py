"""Layout of Tiny ImageNet as it is distributed: `train/<wnid>/images/*`, and all validation images
in `val/images`, whose classes a list names. Its test images have no public labels.
"""

from functools import partial
from pathlib import Path

from resnet_cli.data.layouts.folders import list_images
from resnet_cli.data.layouts.layout import Layout, Scanned, list_folders
from resnet_cli.data.samples import Samples, SamplesBuilder
from resnet_cli.runtime.errors import DataError

_ANNOTATIONS = "val_annotations.txt"


def recognize(root: Path) -> Layout | None:
    """The layout, if the list of the validation images' classes is there."""
    annotations = root / "val" / _ANNOTATIONS
    if not annotations.is_file():
        return None
    folders = [root / "train" / name / "images" for name in list_folders(root / "train")]
    for folder in (root / "val" / "images", *folders):
        if not folder.is_dir():
            raise DataError(f"{folder} is missing: it belongs to Tiny ImageNet's layout")
    return Layout(
        name=f"Tiny ImageNet's folders and {_ANNOTATIONS}",
        sources=(root / "train", root / "val" / "images", annotations, *folders),
        scan=partial(_scan, root),
    )


def _scan(root: Path) -> Scanned:
    """Finds every image of both splits. Raises DataError, OSError."""
    classes = list_folders(root / "train")
    builder = SamplesBuilder()
    for label, name in enumerate(classes):
        folder = root / "train" / name / "images"
        builder.add(folder, list_images(folder)[0], labels=label)
    val = _scan_val(root / "val", {name: label for label, name in enumerate(classes)})
    return Scanned(classes=tuple(classes), train=builder.build(), val=val)


def _scan_val(val: Path, labels: dict[str, int]) -> Samples:
    """The validation images, ordered by class and name.

    Raises DataError if list and folder do not hold the same images.
    """
    annotations = val / _ANNOTATIONS
    wnids = _read_annotations(annotations)
    images = set(list_images(val / "images")[0])
    for names, what in (
        (wnids.keys() - images, f"is not in {val / 'images'}"),
        (images - wnids.keys(), f"is not in {annotations}"),
    ):
        if names:
            raise DataError(f"validation image {min(names)} {what} ({len(names):,} such images)")
    for name, wnid in wnids.items():
        if wnid not in labels:
            raise DataError(f"{annotations}: {name} is of class {wnid}, which train/ does not have")
    rows = sorted((labels[wnid], name) for name, wnid in wnids.items())
    builder = SamplesBuilder()
    builder.add(val / "images", [name for _, name in rows], labels=[label for label, _ in rows])
    return builder.build()


def _read_annotations(path: Path) -> dict[str, str]:
    """Image -> wnid, from lines such as `val_0.JPEG<TAB>n03444034<TAB>0<TAB>32<TAB>44<TAB>62`.

    Raises DataError for a line without both.
    """
    wnids = {}
    for number, line in enumerate(
        path.read_text(encoding="utf-8", errors="replace").splitlines(), 1
    ):
        name, _, rest = line.partition("\t")
        if not (wnid := rest.partition("\t")[0].strip()):
            raise DataError(f"{path}: line {number} names no image and class")
        wnids[name] = wnid
    return wnids

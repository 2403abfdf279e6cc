"""Which data a run was trained on: runs on different data are neither seeds of one experiment nor
curves of one figure.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnet_cli.config.schema import RunConfig
from resnet_cli.data.choices import DatasetName
from resnet_cli.data.identity import fingerprint
from resnet_cli.paper.published import IMAGENET_VALIDATION
from resnet_cli.paper.reading import read_json, text, whole
from resnet_cli.runtime.files import as_file_name

# ILSVRC 2012, as the paper's section 4.1 counts it ("1.28 million", "50k").
_IMAGENET_CLASSES = 1000
_IMAGENET_IMAGES = {"train": 1_281_167, "val": IMAGENET_VALIDATION}


@dataclass(frozen=True, kw_only=True)
class Data:
    """A data set, by what is known of it."""

    # cifar10, imagenet; the name of another folder, or imagenet-20 where that is not known
    label: str
    key: str  # equal for equal classes and numbers of images
    fingerprint: str | None  # of the names of the classes
    deviations: tuple[str, ...] = ()  # what of it is not the paper's, as far as it has its label


def read_data(folder: Path, config: RunConfig, result: dict[str, Any] | None) -> Data:
    """The data of a run, from data.json, else from what result.json has of it.

    Raises one of `reading.UNREADABLE` where they do not say what they should.
    """
    name = config.dataset.name
    if name is not DatasetName.imagenet:  # one fixed set of images, checked by its MD5 or drawn
        label = f"{name}-coarse" if config.dataset.coarse else str(name)
        return Data(label=label, key=label, fingerprint=None)
    file = folder / "data.json"
    if file.exists():
        content = read_json(file)
        if not isinstance(content["classes"], list) or not content["classes"]:
            raise ValueError("data.json names no classes")
        classes = [text(one) for one in content["classes"]]
        counts = dict(content.get("images") or {})
        images = {
            split: whole(counts[split]) for split in ("train", "val", "test") if split in counts
        }
        return _folder_of_classes(
            config, count=len(classes), images=images, fingerprint=fingerprint(classes)
        )
    known = result or {}
    images = {"train": whole(known["training_images"])} if "training_images" in known else {}
    count = known.get("classes")
    return _folder_of_classes(
        config, count=None if count is None else whole(count), images=images, fingerprint=None
    )


def _folder_of_classes(
    config: RunConfig, *, count: int | None, images: dict[str, int], fingerprint: str | None
) -> Data:
    """Photographs in folders: ImageNet where all its classes and images are there."""
    if count == _IMAGENET_CLASSES and images and images.items() <= _IMAGENET_IMAGES.items():
        return Data(label="imagenet", key="imagenet", fingerprint=fingerprint)
    # where no list of classes was kept, one folder is taken for one data set
    which = fingerprint or f"in {config.dataset.root}"
    key = f"{count} classes {which}, {sorted(images.items())}"
    if (label := as_file_name(config.dataset.label)) not in ("", *DatasetName):
        return Data(label=label, key=key, fingerprint=fingerprint)
    if count is not None and count != _IMAGENET_CLASSES:
        return Data(label=f"imagenet-{count}", key=key, fingerprint=fingerprint)
    told = "images=unknown" if not images else " ".join(f"{k}={n:,}" for k, n in images.items())
    return Data(label="imagenet", key=key, fingerprint=fingerprint, deviations=(told,))

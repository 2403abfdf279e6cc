"""A loader of photographs in one process with one thread, as a worker has it.

`usual` is torchvision's ImageFolder with v2 transforms, `worker` what a worker process of ours
does, `whole` ours with flip, colour noise and normalisation, which in training the device does.
"""

import argparse
import itertools
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from resnet_cli.data.choices import Augmentation, Normalization
from resnet_cli.data.imagenet import open_folders
from resnet_cli.data.images import fit_normalizer
from resnet_cli.data.streaming import StreamingLoader, TrainCrops
from scripts.benchmark.contestants.serve import serve

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BATCH = 64


def usual(root: Path) -> Callable[[int], object]:
    """Shorter side in [256, 480], random crop, flip, float, normalised, stacked."""
    transform = v2.Compose(
        [
            v2.RandomShortestSize(list(range(256, 481))),
            v2.RandomCrop(224),
            v2.RandomHorizontalFlip(),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )
    dataset = ImageFolder(str(root / "train"), transform)
    order = itertools.cycle(range(len(dataset)))
    return lambda _: torch.stack([dataset[next(order)][0] for _ in range(BATCH)])


def ours(root: Path, *, whole: bool) -> Callable[[int], object]:
    samples = open_folders(root).train
    if not whole:
        return TrainCrops(
            samples=samples,
            augmentation=Augmentation.paper,
            image_size=224,
            batch_size=BATCH,
            seed=0,
        ).__getitem__
    normalizer = fit_normalizer(Normalization.imagenet, samples)
    return StreamingLoader(
        samples=samples,
        augmentation=Augmentation.paper,
        normalizer=normalizer,
        batch_size=BATCH,
        seed=0,
        image_size=224,
        workers=0,
    ).batch


LOADERS: dict[str, Callable[[Path], Callable[[int], object]]] = {
    "usual": usual,
    "worker": partial(ours, whole=False),
    "whole": partial(ours, whole=True),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("which", choices=LOADERS)
    parser.add_argument("root", type=Path)
    parser.add_argument("caches", help="folder for the index of the photographs")
    options = parser.parse_args()
    os.environ["XDG_CACHE_HOME"] = options.caches
    torch.set_num_threads(1)
    load = LOADERS[options.which](options.root)

    def step(number: int) -> None:
        load(number)

    serve(step, images=BATCH)


if __name__ == "__main__":
    main()

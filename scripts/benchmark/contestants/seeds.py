"""Many seeds: as one network, one after the other in turn, or packed on CUDA streams of their own.

A step is one of every seed.
"""

import argparse
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor

from resnet_cli.data.augment import crop_and_flip
from resnet_cli.data.resident import ResidentLoader
from resnet_cli.models.resnet import ResNet
from resnet_cli.models.seeds import Seeds, losses_of_each
from resnet_cli.models.zoo import NETWORKS
from resnet_cli.runtime.choices import DeviceChoice, Precision, Switch
from resnet_cli.runtime.cuda_graph import CapturedGraph, choose_capture
from resnet_cli.runtime.device import DTYPES, autocast, choose_device, keep_memory, make_exact
from resnet_cli.training.step import TrainStep, make_optimizer
from scripts.benchmark.contestants.ours import made_up_images, refuse
from scripts.benchmark.contestants.serve import facts, serve

Step = Callable[[int], None]


class SeedsStep(TrainStep):
    """A step of all seeds, whose labels are [R * N]. `found_inf` stops all of them."""

    def _loss(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [R * N, classes], and the sum of the seeds' mean losses."""
        with autocast(self.device, self.dtype):
            logits = self.forward(images)
        losses = losses_of_each(logits.float(), labels.unflatten(0, (len(logits), -1)))
        return logits.flatten(0, 1), losses.sum()


class SeedsLoader:
    """The batches of loaders that differ in their seeds alone, cropped in one go.

    Images [N, R * 3, H, W] in channels_last memory and labels [R * N].
    """

    def __init__(self, loaders: Sequence[ResidentLoader]) -> None:
        self.loaders, self.first = loaders, loaders[0]
        self.drawn = torch.stack([loader.drawn for loader in loaders])
        for loader, drawn in zip(loaders, self.drawn, strict=True):
            loader.drawn = drawn

    def draw(self, iteration: int) -> tuple[Tensor]:
        """As a loader's."""
        starts = [loader.draw(iteration) for loader in self.loaders]
        return starts[0]  # of all

    def prepare(self, *drawn: Tensor) -> tuple[Tensor, Tensor]:
        """As a loader's, for all of them."""
        places = (drawn[0] + self.first.positions) % (2 * self.first.count)
        indices, top, left, flip = self.drawn[:, :, places].transpose(0, 1).flatten(1)
        images = self.first.normalizer(self.first.split.images[indices])
        images = crop_and_flip(images, top=top, left=left, flip=flip.bool())
        return torch.cat(images.chunk(len(self.loaders)), dim=1), self.first.split.labels[indices]


def one_step(
    network: ResNet, loader: ResidentLoader | SeedsLoader, kind: type[TrainStep], **how: Any
) -> Step:
    """Draws a batch and trains on it; `how` as TrainStep takes it."""
    optimizer = make_optimizer(network, lr=0.1, momentum=0.9, weight_decay=1e-4, nesterov=False)
    step = kind(network, optimizer, prepare=loader.prepare, **how)
    return lambda number: step(*loader.draw(number), lr=0.001)


def as_one(networks: Sequence[ResNet], loaders: Sequence[ResidentLoader], **how: Any) -> Step:
    """A step of one network of them all, which holds copies."""
    return one_step(Seeds(networks), SeedsLoader(loaders), SeedsStep, **how)


def in_turn(
    networks: Sequence[ResNet], loaders: Sequence[ResidentLoader], *, packed: bool, **how: Any
) -> Step:
    """A step of each, one after the other, or on streams of their own."""
    steps = [
        one_step(network, loader, TrainStep, **how)
        for network, loader in zip(networks, loaders, strict=True)
    ]
    streams = [torch.cuda.Stream() if packed else None for _ in steps]

    def train(number: int) -> None:
        for step, stream in zip(steps, streams, strict=True):
            with nullcontext() if stream is None else torch.cuda.stream(stream):
                step(number)

    return train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("how", choices=("one", "turns", "packed"))
    parser.add_argument("network")
    parser.add_argument("seeds", type=int)
    parser.add_argument("batch_size", type=int)
    parser.add_argument("precision", type=Precision)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--graph", action="store_true")
    options = parser.parse_args()
    make_exact()
    keep_memory()
    device, dtype = choose_device(DeviceChoice.auto), DTYPES[options.precision]
    net, seeds = NETWORKS[options.network], range(options.seeds)
    networks = [ResNet(net) for _ in seeds]
    for network in networks:
        network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    split, normalizer = made_up_images(net, device)
    size = options.batch_size
    loaders = [
        ResidentLoader(split=split, normalizer=normalizer, batch_size=size, seed=seed)
        for seed in seeds
    ]
    capture = None
    if options.graph:
        choose_capture(Switch.on, device, dtype=dtype, world=1)
        capture = partial(CapturedGraph, warn=refuse)
    how = {"dtype": dtype, "compiled": options.compile, "capture": capture}
    train = (
        as_one(networks, loaders, **how)
        if options.how == "one"
        else in_turn(networks, loaders, packed=options.how == "packed", **how)
    )
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    wait()  # what streams of their own are given is made on another
    images = size * options.seeds
    serve(train, images=images, untimed=1, settle=wait, facts=lambda: facts(lambda: train(0)))


if __name__ == "__main__":
    main()

"""Ours: what resnet-train and resnet-eval run between two log points."""

import argparse
from collections.abc import Callable
from functools import partial

import torch

from resnet_cli.data.choices import Normalization
from resnet_cli.data.images import CHANNELS, Normalizer, Split
from resnet_cli.data.resident import ResidentLoader
from resnet_cli.evaluation.views import scores_of
from resnet_cli.models.architecture import Architecture, Stem
from resnet_cli.models.resnet import ResNet
from resnet_cli.models.zoo import NETWORKS
from resnet_cli.run.build import fold
from resnet_cli.runtime.choices import DeviceChoice, Precision, Switch
from resnet_cli.runtime.cuda_graph import CapturedGraph, choose_capture
from resnet_cli.runtime.device import DTYPES, choose_device, keep_memory, make_exact
from resnet_cli.training.step import TrainStep, make_optimizer
from scripts.benchmark.contestants.serve import facts, serve


def refuse(message: str) -> None:
    """Instead of going on without a graph: that would be another row of the table."""
    raise SystemExit(message)


def made_up_images(net: Architecture, device: torch.device) -> tuple[Split, Normalizer]:
    """As many images as CIFAR-10 has, or a thousand photographs, and what normalizes them."""
    cifar = net.stem is Stem.cifar
    side, count, classes = (32, 50_000, 10) if cifar else (224, 1000, 1000)
    images = torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8)
    split = Split(images, torch.randint(0, classes, (count,))).to(device)
    mean, std = (
        torch.tensor(values, device=device).view(3, 1, 1)
        for values in CHANNELS[Normalization.imagenet]
    )
    # A mean a pixel on CIFAR-10, as the paper.
    return split, Normalizer(mean.repeat(1, side, side) if cifar else mean, std)


def training_step(
    network: ResNet,
    loader: ResidentLoader,
    *,
    dtype: torch.dtype,
    compiled: bool,
    capture: Callable[..., CapturedGraph] | None,
) -> TrainStep:
    """With the paper's optimizer."""
    optimizer = make_optimizer(network, lr=0.1, momentum=0.9, weight_decay=1e-4, nesterov=False)
    return TrainStep(
        network,
        optimizer,
        dtype=dtype,
        compiled=compiled,
        prepare=loader.prepare,
        capture=capture,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network")
    parser.add_argument("batch_size", type=int)
    parser.add_argument("precision", type=Precision)
    parser.add_argument("--testing", action="store_true")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--graph", action="store_true")
    parser.add_argument("--checkpointing", action="store_true")
    options = parser.parse_args()
    make_exact()
    keep_memory()
    device, dtype = choose_device(DeviceChoice.auto), DTYPES[options.precision]
    network = ResNet(NETWORKS[options.network])
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.set_activation_checkpointing(options.checkpointing)
    split, normalizer = made_up_images(network.architecture, device)
    capture = None
    if options.graph:
        choose_capture(Switch.on, device, dtype=dtype, world=1)
        capture = partial(CapturedGraph, warn=refuse)
    size = options.batch_size
    if options.testing:
        tested = fold(network, capture, compiled=options.compile).network
        places = len(split) // size

        def test(number: int) -> None:
            start = number % places * size
            scores_of(tested, normalizer(split.images[start : start + size]), dtype=dtype)

        wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
        serve(test, images=size, untimed=1, settle=wait, facts=lambda: facts(lambda: test(0)))
        return
    loader = ResidentLoader(split=split, normalizer=normalizer, batch_size=size, seed=0)
    step = training_step(network, loader, dtype=dtype, compiled=options.compile, capture=capture)

    def train(number: int) -> None:
        step(*loader.draw(number), lr=0.001)

    settle = step.read_totals
    serve(train, images=size, untimed=1, settle=settle, facts=lambda: facts(lambda: train(0)))


if __name__ == "__main__":
    main()

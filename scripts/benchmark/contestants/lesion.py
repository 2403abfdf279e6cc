"""Deletes each block of ResNet-110: from the map before it, or each time from the images."""

import argparse
import copy

import torch
from torch import nn

from resnet_cli.analysis.chain import take_apart
from resnet_cli.analysis.lesion import single, wrong_images
from resnet_cli.data.images import Normalizer, Split
from resnet_cli.models.fold_bn import FoldedBN
from resnet_cli.models.resnet import ResNet
from resnet_cli.models.zoo import NETWORKS
from resnet_cli.runtime.choices import DeviceChoice, Precision
from resnet_cli.runtime.device import autocast, choose_device, choose_dtype, keep_memory
from scripts.benchmark.contestants.serve import serve

IMAGES = 50  # a fifth of a batch of resnet-analyze, so that a turn is short


def rebuilt(network: ResNet) -> list[ResNet]:
    """A network for each block, with the bare shortcut in its place."""
    found = []
    for name, block in network.named_blocks().items():
        copied = copy.deepcopy(network)
        stage, _, number = name.partition(".")
        assert block.downsample is not None
        bare = nn.Sequential(block.downsample, nn.ReLU())
        copied.get_submodule(stage).register_module(number, bare)
        found.append(copied)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("how", choices=("ours", "naive"))
    how = parser.parse_args().how
    keep_memory()
    device = choose_device(DeviceChoice.auto)
    dtype = choose_dtype(Precision.auto, device)
    network = ResNet(NETWORKS["resnet110"]).eval()
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    folded = FoldedBN(network).network
    images = torch.randint(0, 256, (IMAGES, 3, 32, 32), dtype=torch.uint8, device=device)
    split = Split(images, torch.zeros(IMAGES, dtype=torch.int64, device=device))
    normalizer = Normalizer(*(one(3, 1, 1, device=device) for one in (torch.zeros, torch.ones)))
    chain = take_apart(folded, image_size=32)
    variants = single(chain.line)
    networks = rebuilt(folded) if how == "naive" else []

    def ours(_: int) -> None:
        wrong_images(chain, variants, split=split, normalizer=normalizer, dtype=dtype)

    @torch.inference_mode()
    def naive(_: int) -> None:
        for one in networks:
            pixels = normalizer(images).contiguous(memory_format=torch.channels_last)
            with autocast(device, dtype):
                (one(pixels).argmax(dim=1) != split.labels).sum().item()

    serve(ours if how == "ours" else naive, images=IMAGES)


if __name__ == "__main__":
    main()

"""Tests one photograph of 640 x 853 densely in fp32 and tells the most memory that it held."""

import argparse
import json

import torch
from PIL import Image

from resnet_cli.data.images import Normalizer
from resnet_cli.evaluation.choices import Views
from resnet_cli.evaluation.protocol import Protocol
from resnet_cli.models.resnet import ResNet
from resnet_cli.models.zoo import NETWORKS
from resnet_cli.runtime.device import peak_memory

SIDE = 640


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network", choices=NETWORKS)
    network = ResNet(NETWORKS[parser.parse_args().network]).eval()
    network.to(memory_format=torch.channels_last)
    protocol = Protocol(views=Views.dense, image_size=224, scales=(SIDE,))
    shown = [view[None] for view in protocol.make_views(Image.new("RGB", (500, 375)))]
    normalizer = Normalizer(torch.zeros(3, 1, 1), torch.ones(3, 1, 1))
    protocol.score(network, normalizer, views=shown, dtype=torch.float32)
    print(json.dumps({"peak_gib": peak_memory()}))


if __name__ == "__main__":
    main()

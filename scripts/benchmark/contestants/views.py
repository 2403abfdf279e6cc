"""Testing ResNet-18 with a single view or with ten crops, the images already on the device."""

import argparse

import torch

from resnet_cli.data.choices import Normalization
from resnet_cli.data.images import CHANNELS, Normalizer
from resnet_cli.evaluation.choices import Views
from resnet_cli.evaluation.protocol import BATCH
from resnet_cli.evaluation.views import scores_of, ten_crop_scores
from resnet_cli.models.resnet import ResNet
from resnet_cli.models.zoo import NETWORKS
from resnet_cli.runtime.choices import DeviceChoice, Precision
from resnet_cli.runtime.device import choose_device, choose_dtype
from scripts.benchmark.contestants.serve import serve


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("views", type=Views, choices=(Views.single, Views.ten))
    ten = parser.parse_args().views is Views.ten
    device = choose_device(DeviceChoice.auto)
    dtype = choose_dtype(Precision.auto, device)
    network = ResNet(NETWORKS["resnet18"]).eval()
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    mean, std = (
        torch.tensor(values, device=device).view(3, 1, 1)
        for values in CHANNELS[Normalization.imagenet]
    )
    normalizer = Normalizer(mean, std)
    count = BATCH[Views.ten]
    # Five crops of an image, mirrored by `ten_crop_scores`; else as many views of as many images.
    shape = (count, 5, 3, 224, 224) if ten else (10 * count, 3, 224, 224)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, device=device)
    score = ten_crop_scores if ten else scores_of

    def step(_: int) -> None:
        score(network, normalizer(images), dtype=dtype).sum().item()

    serve(step, images=len(images))


if __name__ == "__main__":
    main()

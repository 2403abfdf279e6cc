"""The usual script: what people write who train ResNets in PyTorch. Knows nothing of resnet_cli.

CIFAR-10: torchvision's block in the paper's network, PIL transforms, a DataLoader with two workers,
fp32, NCHW, `.item()` each step. At 224: torchvision's network, fp32, NCHW, the same batch again and
again, so that its data come for nothing.
"""

import argparse
from collections.abc import Iterator

import numpy as np
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import pad
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from torchvision.models.resnet import BasicBlock, conv3x3

from scripts.benchmark.contestants.serve import facts, serve


class Halve(nn.Module):
    """Shortcut A."""

    def forward(self, x: Tensor) -> Tensor:
        return pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, x.shape[1]))


class UsualResNet(nn.Module):
    """The network of section 4.2 as people write it."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        n = (depth - 2) // 6
        self.conv1, self.bn1, self.relu = conv3x3(3, 16), nn.BatchNorm2d(16), nn.ReLU(inplace=True)
        blocks: list[nn.Module] = []
        for width, before, stride in ((16, 16, 1), (32, 16, 2), (64, 32, 2)):
            first = None if width == before else Halve()
            blocks.append(BasicBlock(before, width, stride, first))
            blocks += [BasicBlock(width, width) for _ in range(n - 1)]
        self.layers = nn.Sequential(*blocks)
        self.fc = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.layers(self.relu(self.bn1(self.conv1(x)))).mean(dim=(2, 3)))


def make_network(name: str, *, photographs: bool) -> nn.Module:
    if photographs:
        return getattr(torchvision.models, name)()
    return UsualResNet(int(name.removeprefix("resnet")))


class Pictures(Dataset[tuple[Tensor, int]]):
    """As many PIL images as CIFAR-10 has, through the usual transforms."""

    def __init__(self, *, testing: bool) -> None:
        rng = np.random.default_rng(0)
        count = 10_000 if testing else 50_000
        self.images = rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
        self.labels = rng.integers(0, 10, count).tolist()
        augment = [transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip()]
        normalize = transforms.Normalize((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
        self.transform = transforms.Compose(
            [*([] if testing else augment), transforms.ToTensor(), normalize]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.images[index])), self.labels[index]


def batches(size: int, *, side: int, testing: bool) -> Iterator[tuple[Tensor, Tensor]]:
    """Without end."""
    if side == 224:
        images, labels = torch.randn(size, 3, side, side), torch.randint(0, 1000, (size,))
        while True:
            yield images, labels
    pictures = Pictures(testing=testing)
    loader = DataLoader(pictures, size, shuffle=not testing, num_workers=2, drop_last=True)
    while True:
        yield from loader


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("network")
    parser.add_argument("batch_size", type=int)
    parser.add_argument("--testing", action="store_true")
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    photographs = options.network in ("resnet18", "resnet50")
    network = make_network(options.network, photographs=photographs)
    network.to(device).train(not options.testing)
    optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9, weight_decay=1e-4)
    loss_of = nn.CrossEntropyLoss()
    side = 224 if photographs else 32
    stream = batches(options.batch_size, side=side, testing=options.testing)

    def train(_: int) -> None:
        images, labels = (part.to(device) for part in next(stream))
        logits = network(images)
        loss = loss_of(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item(), (logits.argmax(1) == labels).sum().item()

    @torch.no_grad()
    def test(_: int) -> None:
        images, labels = (part.to(device) for part in next(stream))
        (network(images).argmax(1) == labels).sum().item()

    step = test if options.testing else train
    untimed = 1 if photographs else 5
    serve(step, images=options.batch_size, untimed=untimed, facts=lambda: facts(lambda: step(0)))


if __name__ == "__main__":
    main()

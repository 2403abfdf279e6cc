"""Lesions: all 54 blocks of ResNet-110 deleted in turn, beside a network rebuilt for each."""

from functools import partial
from typing import Any

from resnet_cli.models.complexity import layers
from resnet_cli.models.zoo import NETWORKS
from resnet_cli.runtime.choices import Precision
from resnet_cli.runtime.device import choose_dtype
from scripts.benchmark.limits import Limits
from scripts.benchmark.plan import Part, Settings, has_figures
from scripts.benchmark.report import race_table
from scripts.benchmark.turns import race_processes

_OURS = "ours, from the map before the block"
HOW = {"each time from the images": "naive", _OURS: "ours"}
TEST_IMAGES = 10_000  # of CIFAR-10


def multiply_adds_of_ours() -> int:
    """Of one image, through the intact network and from the map before it through 54 changed ones:
    block n from 0 is passed n + 1 times.
    """
    stem, *convolutions, fc = (
        layer.multiply_adds for layer in layers(NETWORKS["resnet110"], image_size=32)
    )
    blocks = map(sum, zip(convolutions[::2], convolutions[1::2], strict=True))
    passed = sum((number + 1) * block for number, block in enumerate(blocks))
    return stem + passed + (1 + len(convolutions) // 2) * fc


def measure(settings: Settings) -> tuple[str, Any]:
    """Images/s through all deletions, seconds for the whole test set, and how near to a matmul."""
    limits = Limits(settings.device, choose_dtype(Precision.auto, settings.device))
    commands = {name: ["lesion", how] for name, how in HOW.items()}
    found = race_processes(commands, settings, beside=limits.measure)
    lines = []
    for name, figures in found.items():
        if has_figures(figures):
            figures["test_set_seconds"] = TEST_IMAGES / figures["images_per_second"]
            lines.append(f"{name}: {figures['test_set_seconds']:,.0f} s for {TEST_IMAGES:,} images")
    if has_figures(ours := found[_OURS]):
        rate = 2 * multiply_adds_of_ours() * ours["images_per_second"]
        ours["of_matmul"] = rate / limits.operations_per_second
        lines.append(f"ours computes at {100 * ours['of_matmul']:.0f} % of the speed of a matmul")
    text = [race_table(found, rounds=settings.rounds), *lines, limits.text()]
    return "\n\n".join(text), found | limits.figures()


def parts(settings: Settings) -> list[Part]:
    title = "Deleting each of ResNet-110's 54 blocks in turn (images through all 54, BN folded)"
    return [Part(key="lesion", title=title, measure=partial(measure, settings))]

"""Lesions: all 54 blocks of ResNet-110 deleted in turn, beside a network rebuilt for each."""

from functools import partial
from typing import Any

from scripts.benchmark.plan import Part, Settings, has_figures
from scripts.benchmark.report import race_table
from scripts.benchmark.turns import race_processes

HOW = {"each time from the images": "naive", "ours, from the map before the block": "ours"}
TEST_IMAGES = 10_000  # of CIFAR-10


def measure(settings: Settings) -> tuple[str, Any]:
    """Images/s through all deletions, and seconds for the whole test set."""
    found = race_processes({name: ["lesion", how] for name, how in HOW.items()}, settings)
    lines = []
    for name, figures in found.items():
        if has_figures(figures):
            figures["test_set_seconds"] = TEST_IMAGES / figures["images_per_second"]
            lines.append(f"{name}: {figures['test_set_seconds']:,.0f} s for {TEST_IMAGES:,} images")
    return "\n\n".join([race_table(found, rounds=settings.rounds), *lines]), found


def parts(settings: Settings) -> list[Part]:
    title = "Deleting each of ResNet-110's 54 blocks in turn (images through all 54, BN folded)"
    return [Part(key="lesion", title=title, measure=partial(measure, settings))]

"""What a file of our weights says of itself, in its header: enough to measure it anywhere."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import Tensor

from resnet_cli.evaluation.choices import SAFETENSORS
from resnet_cli.runtime.errors import UserError
from resnet_cli.runtime.parse import parse, parse_json

PIXEL_MEAN = "pixel_mean"  # the mean image of the training set, a tensor beside the weights
_KEY = "resnet_cli"  # in the header
_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Errors in percent, and what they were measured on and with."""

    top1_error: float
    top5_error: float
    loss: float  # nats
    count: int
    dataset: str
    split: str
    views: str
    bn: str
    precision: str
    device: str


@dataclass(frozen=True, kw_only=True)
class Card:
    """Where weights come from, how their pixels are normalized, and how they were measured."""

    network: str  # resnet56-A
    architecture: dict[str, Any]
    config: dict[str, Any]  # of the run; where and how it happened are left out
    config_sha256: str  # of what decides what was trained
    seed: int
    iteration: int
    command: str  # without them, too
    commit: str | None
    classes: list[str] | None
    measured: Measured
    std: list[float]  # of the pixels, per channel
    mean: list[float] | None  # per channel; null: PIXEL_MEAN holds it per pixel
    format: int = _FORMAT


def card_header(card: Card) -> dict[str, str]:
    """The card as a safetensors header, which holds text alone."""
    return {_KEY: json.dumps(dataclasses.asdict(card))}


def read_card(path: Path) -> Card | None:
    """The card of a readable .safetensors; None for a file without one.

    Raises UserError for one that does not fit, or that a newer version wrote.
    """
    if path.suffix != SAFETENSORS:
        return None
    with safetensors.safe_open(path, framework="pt") as file:
        text = (file.metadata() or {}).get(_KEY)
    if text is None:
        return None
    try:
        values = parse_json(text)
        written = values.get("format") if isinstance(values, dict) else None
        if isinstance(written, int) and written > _FORMAT:
            raise ValueError(f"a newer version wrote it (format {written}, known is {_FORMAT})")
        return parse(Card, values)
    except ValueError as error:
        raise UserError(f"the header of {path} does not fit: {error}") from error


def split_mean(card: Card, tensors: dict[str, Tensor], *, path: Path) -> tuple[Tensor, Tensor]:
    """Takes the mean image out of a file's `tensors`; mean and std of the pixels.

    Raises UserError where there is none, or a std of 0.
    """
    image = tensors.pop(PIXEL_MEAN, None)
    if (image is None) is (card.mean is None):
        raise UserError(f"the header of {path} does not fit: no mean of the pixels, or two")
    mean = torch.tensor(card.mean).view(-1, 1, 1) if image is None else image
    return mean, torch.tensor(card.std).view(-1, 1, 1)

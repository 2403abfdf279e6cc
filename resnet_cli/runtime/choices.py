"""Choices about the machine, as words of the command line.

Imports nothing of ours, so that parsing a command line stays quick.
"""

from enum import StrEnum


class DeviceChoice(StrEnum):
    """The kind of device to train on."""

    auto = "auto"  # cuda if there is one, else mps
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"  # Apple's GPUs


class Precision(StrEnum):
    """The number format that convolutions multiply in."""

    auto = "auto"  # bf16 if the hardware supports it, else fp32
    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"


class Switch(StrEnum):
    """Whether an optimization is used: where it pays (auto), always, or never."""

    auto = "auto"
    on = "on"
    off = "off"

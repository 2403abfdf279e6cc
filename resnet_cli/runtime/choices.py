"""What can be chosen of the machine, as words of the command line. Imports nothing, so that reading
a command line stays quick.
"""

from enum import StrEnum


class DeviceChoice(StrEnum):
    """The kind of device to train on."""

    auto = "auto"  # cuda where there is one
    cpu = "cpu"
    cuda = "cuda"


class Precision(StrEnum):
    """What convolutions multiply in."""

    auto = "auto"  # bf16 where the hardware multiplies it, else fp32
    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"


class Switch(StrEnum):
    """A means to speed that is used where it pays (auto), always, or never."""

    auto = "auto"
    on = "on"
    off = "off"

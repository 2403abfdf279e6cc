"""One layer as numbers: what it costs in parameters, multiply-adds and maps."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A convolution, or the fully connected layer as one of 1x1, with the BN that belongs to it."""

    row: str  # of Table 1: conv1, conv2_x, ...
    inputs: int  # channels
    outputs: int
    size: int  # of the kernel
    side: int  # of the map it makes, in pixels
    stride: int = 1
    groups: int = 1
    bias: bool = False
    normalized: int = 0  # channels of its BN, each with a scale and a shift
    is_shortcut: bool = False

    @property
    def weights(self) -> int:
        """Of the kernel alone."""
        return self.size**2 * self.inputs // self.groups * self.outputs

    @property
    def parameters(self) -> int:
        """All that is learned: weights, biases, and BN's scales and shifts."""
        return self.weights + self.bias * self.outputs + 2 * self.normalized

    @property
    def multiply_adds(self) -> int:
        """For one image; biases and BN are not counted (Table 1's count)."""
        return self.weights * self.side**2

    @property
    def values(self) -> int:
        """Of the maps it makes of one image."""
        return self.outputs * self.side**2


def halved(side: int) -> int:
    """A map's side after a stride of 2, padded."""
    return (side + 1) // 2

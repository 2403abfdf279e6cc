"""What the machine could do at best: its rates of copying and multiplying, measured, and what a
network needs of both.
"""

import time
from collections.abc import Callable

import torch
from torch import nn

from resnet_cli.models.architecture import Architecture
from resnet_cli.models.complexity import multiply_adds
from resnet_cli.models.resnet import BasicBlock, ResNet


class Limits:
    """Bytes read and written a second by a large copy, and operations a second of a large
    matmul: the best of all rounds.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        large = device.type == "cuda"
        self.source = torch.ones((4096 if large else 512) << 20, dtype=torch.uint8, device=device)
        self.target = torch.empty_like(self.source)
        self.side = 8192 if large else 2048
        self.factors = torch.randn(2, self.side, self.side, device=device).to(dtype)
        self.bytes_per_second = self.operations_per_second = 0.0
        self.settle: Callable[[], None] = torch.cuda.synchronize if large else lambda: None

    def measure(self) -> None:
        """One more round."""
        copied = self.rate(lambda: self.target.copy_(self.source), 2 * self.source.numel())
        multiplied = self.rate(lambda: self.factors[0] @ self.factors[1], 2 * self.side**3)
        self.bytes_per_second = max(self.bytes_per_second, copied)
        self.operations_per_second = max(self.operations_per_second, multiplied)

    def rate(self, work: Callable[[], object], amount: float) -> float:
        best = 0.0
        for _ in range(5):
            began = time.perf_counter()
            work()
            self.settle()
            best = max(best, amount / (time.perf_counter() - began))
        return best


def operations(net: Architecture, *, image_size: int, testing: bool) -> float:
    """Multiplications and additions an image: two for each multiply-add, three times over in
    training (forward, two gradients).
    """
    return (2 if testing else 6) * multiply_adds(net, image_size=image_size)


def traffic(net: Architecture, *, image_size: int, testing: bool, bytes_per_value: int) -> float:
    """Bytes an image that must be read and written when convolutions stand alone and all that lies
    between two is one pass.

    Of a convolution with i values in and e out, training forward: it reads i and writes e; the
    statistics read e; the normalisation reads and writes e. Backward: two sums read gradient and
    values, 2e; the gradient of BN reads both again and writes e; those of images and weights read e
    each, the first writes i, the second reads i. Together 11e + 3i, and for every block 2e more:
    the shortcut is read on the way forward, its gradient added on the way back. Testing: i + e, and
    e a block.
    """
    values = 0

    def convolution(_: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        nonlocal values
        i, e = inputs[0].numel(), output.numel()
        values += i + e if testing else 11 * e + 3 * i

    def block(_: nn.Module, __: tuple[torch.Tensor], output: torch.Tensor) -> None:
        nonlocal values
        values += output.numel() * (1 if testing else 2)

    with torch.device("meta"), torch.no_grad():
        network = ResNet(net).eval()
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.register_forward_hook(convolution)
            elif isinstance(module, BasicBlock) and module.downsample is not None:
                module.register_forward_hook(block)
        network(torch.empty(1, 3, image_size, image_size))
    return bytes_per_value * values

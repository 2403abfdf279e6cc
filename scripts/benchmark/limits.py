"""What the machine can do at best, and what a network asks of it.

The limits are the rates of a large copy and a large matmul, measured in the same run.
"""

import time
from collections.abc import Callable

import torch
from torch import nn

from resnet_cli.models.architecture import Architecture
from resnet_cli.models.blocks import ResidualBlock
from resnet_cli.models.complexity import multiply_adds
from resnet_cli.models.resnet import ResNet
from resnet_cli.runtime.device import precision_name


class Limits:
    """Bytes read and written a second by a copy, and operations a second of a matmul.

    Both are the best of all rounds so far. All memory is taken at once: later, contestants may
    have left none.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        large = device.type == "cuda"
        self.dtype = dtype
        self.source = torch.ones((4096 if large else 512) << 20, dtype=torch.uint8, device=device)
        self.target = torch.empty_like(self.source)
        self.side = 8192 if large else 2048
        self.factors = torch.randn(2, self.side, self.side, device=device).to(dtype)
        self.product = torch.empty_like(self.factors[0])
        self.bytes_per_second = self.operations_per_second = 0.0
        self.settle: Callable[[], None] = torch.cuda.synchronize if large else lambda: None
        for _ in range(3):
            self.measure()

    def measure(self) -> None:
        """One more round."""
        copied = self.rate(lambda: self.target.copy_(self.source), 2 * self.source.numel())
        multiplied = self.rate(
            lambda: torch.mm(self.factors[0], self.factors[1], out=self.product), 2 * self.side**3
        )
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

    def figures(self) -> dict[str, dict[str, float]]:
        found = {
            "copy GB/s, read and written": self.bytes_per_second / 1e9,
            f"{precision_name(self.dtype)} matmul TFLOP/s": self.operations_per_second / 1e12,
        }
        return {"limits": found}

    def text(self) -> str:
        found = self.figures()["limits"]
        told = ", ".join(f"{what} {value:,.2f}" for what, value in found.items())
        return f"This machine's limits: {told}"


def operations(net: Architecture, *, image_size: int, testing: bool) -> float:
    """Multiplications and additions an image: two for each multiply-add.

    Training takes three times as many: forward, the gradients of weights and those of the input.
    """
    return (2 if testing else 6) * multiply_adds(net, image_size=image_size)


def traffic(net: Architecture, *, image_size: int, testing: bool, bytes_per_value: int) -> float:
    """Bytes an image that must be read and written if all between two convolutions is one pass.

    Of a convolution with i values in and e out, training forward: it reads i and writes e; the
    statistics read e; the normalisation reads and writes e. Backward: two sums read gradient and
    values, 2e; the gradient of BN reads both again and writes e; the gradients of images and
    weights read e each, the first writes i, the second reads i. Together 11e + 3i, and for every
    block 2e more: the shortcut is read on the way forward, its gradient added on the way back.
    Testing: i + e, and e for every block.
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
            elif isinstance(module, ResidualBlock) and module.downsample is not None:
                module.register_forward_hook(block)
        network(torch.empty(1, 3, image_size, image_size))
    return bytes_per_value * values

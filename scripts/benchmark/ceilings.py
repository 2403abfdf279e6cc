"""What three ideas could take off ResNet-50's training step on a CPU, at most.

- The sums of batch norm taken inside the pass before: a step without any sums (`unsummed`).
- The weights of convolutions kept in oneDNN's blocked format, instead of being reordered at each
  call: forward convolutions with weights that were reordered beforehand.
- oneDNN's convolution that adds onto a map, where a gradient returns through a block's first
  convolution and joins that of the shortcut: beside a convolution and an addition.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import conv2d

from resnet_cli.models.complexity import layers
from resnet_cli.models.cost import Layer
from resnet_cli.models.zoo import NETWORKS
from scripts.benchmark.plan import NotMeasured, Part, Settings
from scripts.benchmark.report import Column, Figures, race_table, table
from scripts.benchmark.turns import race_processes

NETWORK, BATCH, SIDE = "resnet50", 16, 224
_COLUMNS: tuple[Column, ...] = (
    ("ms", lambda found: f"{found['ms']:,.0f}"),
    ("with the idea, ms", lambda found: f"{found['with_ms']:,.0f}"),
)
_Pair = tuple[Callable[[], object], Callable[[], object]]  # as it is, and with the idea


def measure_sums(settings: Settings) -> tuple[str, Any]:
    """The whole step in turns with one that sums nothing."""
    words = [NETWORK, str(BATCH), "bf16", "--compile"]
    commands = {
        "ours": ["ours", *words],
        "no sums in the forward pass": ["unsummed", "forward", *words],
        "no sums at all": ["unsummed", "both", *words],
    }
    found = race_processes(commands, settings)
    return race_table(found, rounds=settings.rounds), found


def measure_onednn(settings: Settings) -> tuple[str, Any]:
    """Convolutions layer by layer, each in turns with the idea, added up over the network.

    Seconds of this process's CPU time, which other work on the machine changes less.
    """
    if settings.device.type != "cpu":
        raise NotMeasured("only on a CPU")
    found = {
        "forward convolutions, weights blocked": _total(_blocked_weights(), settings.rounds),
        "gradients that join the shortcut's, added": _total(_adding(), settings.rounds),
    }
    return table(found, _COLUMNS), found


def _total(pairs: Iterator[_Pair], rounds: int) -> Figures:
    totals = [0.0, 0.0]
    for pair in pairs:
        times: list[list[float]] = [[], []]
        for _ in range(1 + rounds):
            for seconds, run in zip(times, pair, strict=True):
                began = time.process_time()
                run()
                seconds.append(time.process_time() - began)
        for which, seconds in enumerate(times):
            totals[which] += statistics.median(seconds[1:])
    return {"ms": 1e3 * totals[0], "with_ms": 1e3 * totals[1]}


def _convolutions() -> Iterator[Layer]:
    for layer in layers(NETWORKS[NETWORK], image_size=SIDE):
        if layer.row.startswith("conv"):
            yield layer


def _blocked_weights() -> Iterator[_Pair]:
    for layer in _convolutions():
        images = _map(layer.inputs, layer.side * layer.stride)
        weight = _weight(layer.outputs, layer.inputs, layer.size)
        yield (
            partial(conv2d, images, weight, None, layer.stride, layer.size // 2),
            partial(_onednn, images, _blocked(weight, images, layer), layer),
        )


def _adding() -> Iterator[_Pair]:
    """Of the 1x1 convolutions that blocks with an identity begin with, the gradients of images are
    1x1 convolutions too.
    """
    for layer in _convolutions():
        if layer.size == layer.stride == 1 and layer.inputs > layer.outputs:
            back = replace(layer, inputs=layer.outputs, outputs=layer.inputs)
            grad, shortcut = _map(back.inputs, back.side), _map(back.outputs, back.side)
            weight = _weight(back.outputs, back.inputs, 1)
            yield (
                partial(_convolve_and_add, grad, weight, shortcut),
                partial(_onednn_onto, shortcut, grad, _blocked(weight, grad, back)),
            )


def _map(channels: int, side: int) -> Tensor:
    shape = (BATCH, channels, side, side)
    return torch.randn(shape, dtype=torch.bfloat16).to(memory_format=torch.channels_last)


def _weight(outputs: int, inputs: int, size: int) -> Tensor:
    shape = (outputs, inputs, size, size)
    return torch.randn(shape, dtype=torch.bfloat16).to(memory_format=torch.channels_last)


def _blocked(weight: Tensor, images: Tensor, layer: Layer) -> Tensor:
    padding, stride = [layer.size // 2] * 2, [layer.stride] * 2
    blocked: Tensor = torch.ops.mkldnn._reorder_convolution_weight(
        weight, padding, stride, [1, 1], 1, list(images.shape)
    )
    return blocked


def _onednn(images: Tensor, weight: Tensor, layer: Layer) -> Tensor:
    padding, stride = [layer.size // 2] * 2, [layer.stride] * 2
    output: Tensor = torch.ops.mkldnn._convolution_pointwise(
        images, weight, None, padding, stride, [1, 1], 1, "none", [], ""
    )
    return output


def _convolve_and_add(grad: Tensor, weight: Tensor, shortcut: Tensor) -> Tensor:
    return conv2d(grad, weight) + shortcut


def _onednn_onto(shortcut: Tensor, grad: Tensor, weight: Tensor) -> None:
    torch.ops.mkldnn._convolution_pointwise_.binary(
        shortcut, grad, weight, None, [0, 0], [1, 1], [1, 1], 1, "add", 1.0, None, [], None
    )


def parts(settings: Settings) -> list[Part]:
    title = f"{NETWORK}, training, batch {BATCH}, bf16, compiled:"
    return [
        Part(key="sums", title=f"{title} without sums", measure=partial(measure_sums, settings)),
        Part(key="onednn", title=f"{title} oneDNN", measure=partial(measure_onednn, settings)),
    ]

"""The kernels on whole maps: what they write is made here, and grids follow from shapes alone.

Nothing waits for the device, so that a step can be captured. Maps [N, C, H, W] are channels-last.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from resnet_cli.models.fused import kernels
from resnet_cli.models.layers import BatchNorm

_SPLITS = 32  # programs that share the pixels of a weight gradient, for each of nine taps
_CHANNELS, _CHUNK = 8, 256  # that a program of a reduction takes at once


@dataclass(frozen=True, kw_only=True)
class Carried:
    """A map that shortcut A takes past a block; on the way back, the gradient behind that block."""

    map: Tensor
    stride: int
    before: int  # new channels before the old ones


@dataclass(frozen=True, kw_only=True)
class Read:
    """What a convolution or the pool reads: relu(BN(x) + shortcut); without a BN, x itself."""

    x: Tensor
    table: Tensor | None = None  # of the BN, float32 [4, C]: mean, 1 / deviation, scale, shift
    shortcut: Carried | None = None
    kept: Tensor | None = None  # gets the activated map, where a shortcut carries it on


@dataclass(frozen=True, kw_only=True)
class Convolved:
    """What a convolution wrote, with the statistics of the BN behind it."""

    z: Tensor  # [N, C, H, W]
    table: Tensor  # as in `Read`


@dataclass(frozen=True, kw_only=True)
class Behind:
    """The gradient behind a BN, before the addition and the ReLU, in this order backward."""

    grad: Tensor  # [N, C, H, W]
    parts: Tensor  # of the sums that the BN's backward pass needs, float32 [2, C, programs]


@dataclass(frozen=True, kw_only=True)
class Sums:
    """What a BN's sums are good for: the gradients of its scale and shift, float32 [C], and the
    means [2, C] that its backward pass subtracts.
    """

    scale: Tensor
    shift: Tensor
    means: Tensor


def convolve(read: Read, weight: Tensor, *, stride: int, bn: BatchNorm) -> Convolved:
    """The convolution, and the statistics of its BN, whose running averages move.

    Fills `read.kept`.
    """
    (n, inputs, height, width), outputs = read.x.shape, len(weight)
    z = torch.empty(
        (n, outputs, -(-height // stride), -(-width // stride)),
        dtype=weight.dtype,
        device=weight.device,
        memory_format=torch.channels_last,
    )
    block = _block(inputs, outputs)
    parts, table = _parts(z, block, sums=3), _floats(z, 4, outputs)
    kernels.convolve[(parts.shape[-1],)](
        read.x, read.table, read.shortcut and read.shortcut.map, read.kept, _filters(weight), z,
        parts, _pixels(z), H=height, W=width, INPUTS=inputs, OUTPUTS=outputs, STRIDE=stride,
        **_way("S", read.shortcut), K=max(16, inputs), BLOCK=block,
    )  # fmt: skip
    kernels.batch_statistics[(outputs // _CHANNELS,)](
        parts, bn.weight, bn.bias, bn.running_mean, bn.running_var, table, _pixels(z),
        parts.shape[-1], bn.momentum, bn.eps, C=outputs, BLOCK=block, CHANNELS=_CHANNELS,
        CHUNK=_CHUNK,
    )  # fmt: skip
    return Convolved(z=z, table=table)


def pool(read: Read) -> Tensor:
    """The global average pool [N, C] of what it reads."""
    n, channels, height, width = read.x.shape
    pooled = read.x.new_empty(n, channels)
    kernels.pool[(n,)](
        read.x, read.table, read.shortcut and read.shortcut.map, pooled, H=height, W=width,
        C=channels, **_way("S", read.shortcut), BLOCK=_block(channels),
    )  # fmt: skip
    return pooled


def unpool(grad: Tensor, read: Read) -> Behind:
    """From the gradient [N, C] of the pool to that behind the BN of what it read."""
    _, channels, height, width = read.x.shape
    block = _block(channels)
    behind = Behind(grad=torch.empty_like(read.x), parts=_parts(read.x, block))
    kernels.unpool[(behind.parts.shape[-1],)](
        grad.contiguous(), read.x, read.table, read.shortcut and read.shortcut.map, behind.grad,
        behind.parts, _pixels(read.x), H=height, W=width, C=channels,
        **_way("S", read.shortcut), BLOCK=block,
    )  # fmt: skip
    return behind


def input_gradient(
    grad: Tensor,
    convolved: Convolved,
    means: Tensor,
    *,
    read: Read,
    weight: Tensor,
    stride: int,
    carried: Carried | None,
) -> Behind:
    """From the gradient behind the BN of conv(read) to that behind the BN of what it reads.

    `means`, float32 [2, C], are those of the first BN; `carried` comes back past the block that
    begins at `read`.
    """
    (_, inputs, height, width), outputs = read.x.shape, len(weight)
    block = _block(inputs, outputs)
    behind = Behind(grad=torch.empty_like(read.x), parts=_parts(read.x, block))
    kernels.input_gradient[(behind.parts.shape[-1],)](
        grad, convolved.z, convolved.table, means, _filters(weight), carried and carried.map,
        read.x, read.table, read.kept, behind.grad, behind.parts, _pixels(read.x), H=height,
        W=width, INPUTS=inputs, OUTPUTS=outputs, STRIDE=stride, **_way("J", carried), BLOCK=block,
    )  # fmt: skip
    return behind


def weight_gradient(
    grad: Tensor, convolved: Convolved, means: Tensor, *, read: Read, stride: int
) -> Tensor:
    """Parts, float32 [programs, outputs, 9, inputs], of the gradient of the convolution's weights.

    The first three as in `input_gradient`.
    """
    (_, inputs, height, width), outputs = read.x.shape, grad.shape[1]
    block, pixels = _block(inputs, outputs), _pixels(grad)
    programs = min(_SPLITS, -(-pixels // block))
    parts = _floats(grad, programs, outputs, 9, inputs)
    x, table = (read.x, read.table) if read.kept is None else (read.kept, None)
    kernels.weight_gradient[(programs, 9)](
        grad, convolved.z, convolved.table, means, x, table, parts, pixels, H=height, W=width,
        INPUTS=inputs, OUTPUTS=outputs, STRIDE=stride, K=max(16, inputs), BLOCK=block,
    )  # fmt: skip
    return parts


def reduce(
    parts: Tensor | None,
    grad_weight: Tensor | None,
    *,
    behind: Behind | None,
    table: Tensor | None,
) -> Sums | None:
    """Adds up `parts` of a convolution's weight gradient into `grad_weight`, and what the gradient
    `behind` a BN leaves to sum, of which the BN has this `table`. Either may be absent.
    """
    sums, channels, weights = None, 0, 0
    if behind is not None:
        channels = behind.grad.shape[1]
        sums = Sums(
            scale=_floats(behind.grad, channels),
            shift=_floats(behind.grad, channels),
            means=_floats(behind.grad, 2, channels),
        )
    if grad_weight is not None:
        weights = grad_weight.numel()
    kernels.reduce[(channels // _CHANNELS + -(-weights // _CHUNK),)](
        parts, grad_weight, weights, len(parts) if parts is not None else 0,
        behind and behind.parts, table, sums and sums.scale, sums and sums.shift,
        sums and sums.means, _pixels(behind.grad) if behind else 0,
        behind.parts.shape[-1] if behind else 0, C=channels, CHANNELS=_CHANNELS, CHUNK=_CHUNK,
    )  # fmt: skip
    return sums


def _block(*channels: int) -> int:
    """Pixels of a program: fewer where they are wide, since its sums stay in registers."""
    return 64 if max(channels) >= 64 else 128


def _pixels(x: Tensor) -> int:
    return x.numel() // x.shape[1]


def _parts(x: Tensor, block: int, *, sums: int = 2) -> Tensor:
    """So many sums for each channel of a map, by the programs that share its pixels."""
    return _floats(x, sums, x.shape[1], -(-_pixels(x) // block))


def _floats(like: Tensor, *shape: int) -> Tensor:
    return torch.empty(shape, dtype=torch.float32, device=like.device)


def _filters(weight: Tensor) -> Tensor:
    """Weights as they lie in memory after this: [outputs, 3, 3, inputs]."""
    return weight.contiguous(memory_format=torch.channels_last)


def _way(letter: str, carried: Carried | None) -> dict[str, int]:
    """Where a shortcut leads, as the kernels are told."""
    if carried is None:
        return {f"{letter}_{name}": 0 for name in ("H", "W", "C", "STRIDE", "BEFORE")}
    _, channels, height, width = carried.map.shape
    return {
        f"{letter}_H": height,
        f"{letter}_W": width,
        f"{letter}_C": channels,
        f"{letter}_STRIDE": carried.stride,
        f"{letter}_BEFORE": carried.before,
    }

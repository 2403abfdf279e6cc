"""A convolution with the BN, ReLU and addition around it in one kernel, in Triton.

Maps lie in memory as [N, H, W, C], weights as [outputs, 3, 3, inputs]. A program computes `BLOCK`
pixels at all channels. Products are summed in float32. What is summed over pixels, a program sums
over its own; `batch_statistics` and `reduce` add these parts up in a fixed order, without atomics,
so that the same step has the same bits.

A map is kept as the convolution wrote it, z. BN in training is a table of four rows, float32
[4, C]: mean, 1 / deviation, scale, shift, and what follows is computed wherever the map is read:

    a = relu((z - mean) scale + shift [+ the shortcut's map])

Capitals are known when a kernel is compiled. Where a map is not needed, its pointer is None.
"""

from __future__ import annotations

import triton  # type: ignore[import-untyped]
import triton.language as tl  # type: ignore[import-untyped]


@triton.jit
def _bn(
    z: tl.tensor, table: tl.tensor, channel: tl.tensor, here: tl.tensor, C: tl.constexpr
) -> tl.tensor:
    """BN of z [pixels, C] (Ioffe and Szegedy 2015, Alg. 1)."""
    mean = tl.load(table + channel, mask=here, other=0.0)[None, :]
    scale = tl.load(table + 2 * C + channel, mask=here, other=0.0)[None, :]
    shift = tl.load(table + 3 * C + channel, mask=here, other=0.0)[None, :]
    return (z.to(tl.float32) - mean) * scale + shift


@triton.jit
def _relu(y: tl.tensor) -> tl.tensor:
    """NaN stays NaN, so that a run that has diverged notices it."""
    return tl.where(y <= 0, 0.0, y)


@triton.jit
def _carried(
    shortcut: tl.tensor,
    n: tl.tensor,
    h: tl.tensor,
    w: tl.tensor,
    inside: tl.tensor,
    channel: tl.tensor,
    S_H: tl.constexpr,
    S_W: tl.constexpr,
    S_C: tl.constexpr,
    S_STRIDE: tl.constexpr,
    S_BEFORE: tl.constexpr,
) -> tl.tensor:
    """Shortcut A at pixels (h, w) of the block's output: every `S_STRIDE`-th pixel of its input
    [N, S_H, S_W, S_C], zeros as the new channels, `S_BEFORE` of them before the old.
    """
    pixel = (n * S_H + h * S_STRIDE) * S_W + w * S_STRIDE
    old = channel - S_BEFORE
    there = inside[:, None] & ((old >= 0) & (old < S_C))[None, :]
    return tl.load(shortcut + pixel[:, None] * S_C + old[None, :], mask=there, other=0.0).to(
        tl.float32
    )


@triton.jit
def convolve(
    x: tl.tensor,
    table: tl.tensor,
    shortcut: tl.tensor,
    kept: tl.tensor,
    weight: tl.tensor,
    z: tl.tensor,
    parts: tl.tensor,
    pixels: int,
    H: tl.constexpr,
    W: tl.constexpr,
    INPUTS: tl.constexpr,
    OUTPUTS: tl.constexpr,
    STRIDE: tl.constexpr,
    S_H: tl.constexpr,
    S_W: tl.constexpr,
    S_C: tl.constexpr,
    S_STRIDE: tl.constexpr,
    S_BEFORE: tl.constexpr,
    K: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """z = conv(a), 3x3, and of each program's z: the first pixel, by how much the mean is more, and
    the sum of squares around the mean.

    a is the map x itself without `table`, else BN, addition and ReLU of x [N, H, W, INPUTS]; `kept`
    gets it where a shortcut needs it. Zeros are padded around a, not around x. `parts`, float32
    [3, OUTPUTS, programs], are combined by `batch_statistics`. `K` is INPUTS, but at least 16.
    """
    out_h: tl.constexpr = (H + STRIDE - 1) // STRIDE
    out_w: tl.constexpr = (W + STRIDE - 1) // STRIDE
    program, programs = tl.program_id(0), tl.num_programs(0)
    pixel = program * BLOCK + tl.arange(0, BLOCK)
    n, to_h, to_w = pixel // (out_h * out_w), pixel // out_w % out_h, pixel % out_w
    channel, output = tl.arange(0, K), tl.arange(0, OUTPUTS)
    real = channel < INPUTS
    summed = tl.zeros([BLOCK, OUTPUTS], tl.float32)
    for tap in range(9):
        h, w = to_h * STRIDE + tap // 3 - 1, to_w * STRIDE + tap % 3 - 1
        inside = (pixel < pixels) & (h >= 0) & (h < H) & (w >= 0) & (w < W)
        there = inside[:, None] & real[None, :]
        at = ((n * H + h) * W + w)[:, None] * INPUTS + channel[None, :]
        a = tl.load(x + at, mask=there, other=0.0)
        if table is not None:
            y = _bn(a, table, channel, real, INPUTS)
            if shortcut is not None:
                y += _carried(shortcut, n, h, w, inside, channel, S_H, S_W, S_C, S_STRIDE, S_BEFORE)
            a = tl.where(there, _relu(y), 0.0)
        a = a.to(weight.dtype.element_ty)
        if kept is not None:
            # each pixel is seen once by the taps behind the first row and column: 1x1 or 2x2
            first = (tap // 3 >= 1) & (tap // 3 <= STRIDE) & (tap % 3 >= 1) & (tap % 3 <= STRIDE)
            tl.store(kept + at, a, mask=there & first)
        filters = weight + output[None, :] * (9 * INPUTS) + tap * INPUTS + channel[:, None]
        summed = tl.dot(
            a, tl.load(filters, mask=real[:, None], other=0.0), summed, input_precision="ieee"
        )
    rounded = summed.to(z.dtype.element_ty)
    valid = (pixel < pixels)[:, None]
    tl.store(z + pixel[:, None] * OUTPUTS + output[None, :], rounded, mask=valid)
    values = rounded.to(tl.float32)
    is_first = (tl.arange(0, BLOCK) == 0)[:, None]
    first = tl.sum(tl.where(is_first, values, 0.0), axis=0)
    shifted = tl.where(valid, values - first[None, :], 0.0)
    mean = tl.sum(shifted, axis=0) / tl.minimum(BLOCK, pixels - program * BLOCK)
    centred = tl.where(valid, shifted - mean[None, :], 0.0)
    part = parts + output * programs + program
    tl.store(part, first)
    tl.store(part + OUTPUTS * programs, mean)
    tl.store(part + 2 * OUTPUTS * programs, tl.sum(centred * centred, axis=0))


@triton.jit
def _mean_of_part(
    parts: tl.tensor,
    shift: tl.tensor,
    at: tl.tensor,
    there: tl.tensor,
    programs: int,
    C: tl.constexpr,
) -> tl.tensor:
    """By how much the means of programs are more than `shift`."""
    first = tl.load(parts + at, mask=there, other=0.0) - shift
    return first + tl.load(parts + C * programs + at, mask=there, other=0.0)


@triton.jit
def batch_statistics(
    parts: tl.tensor,
    weight: tl.tensor,
    bias: tl.tensor,
    running_mean: tl.tensor,
    running_var: tl.tensor,
    table: tl.tensor,
    pixels: int,
    programs: int,
    momentum: float,
    eps: float,
    C: tl.constexpr,
    BLOCK: tl.constexpr,
    CHANNELS: tl.constexpr,
    CHUNK: tl.constexpr,
) -> None:
    """The table of a BN, and its running averages, from the parts of `programs` blocks of pixels.

    They are combined as Chan, Golub and LeVeque (1983) do: squares around each block's own mean,
    and those of the means around the mean, all shifted by the first pixel, so that nothing cancels.
    """
    channel = tl.program_id(0) * CHANNELS + tl.arange(0, CHANNELS)
    shift = tl.load(parts + channel * programs)
    summed = tl.zeros([CHANNELS, CHUNK], tl.float32)
    for start in range(0, programs, CHUNK):
        part = start + tl.arange(0, CHUNK)[None, :]
        at, count = channel[:, None] * programs + part, tl.minimum(BLOCK, pixels - part * BLOCK)
        mean = _mean_of_part(parts, shift[:, None], at, part < programs, programs, C)
        summed += tl.where(part < programs, mean * count, 0.0)
    shifted = tl.sum(summed, axis=1) / pixels
    summed = tl.zeros([CHANNELS, CHUNK], tl.float32)
    for start in range(0, programs, CHUNK):
        part = start + tl.arange(0, CHUNK)[None, :]
        at, count = channel[:, None] * programs + part, tl.minimum(BLOCK, pixels - part * BLOCK)
        mean = _mean_of_part(parts, shift[:, None], at, part < programs, programs, C)
        squares = tl.load(parts + 2 * C * programs + at, mask=part < programs, other=0.0)
        off = mean - shifted[:, None]
        summed += tl.where(part < programs, squares + off * off * count, 0.0)
    squared = tl.sum(summed, axis=1)
    mean, inverse = shift + shifted, 1 / tl.sqrt_rn(squared / pixels + eps)
    tl.store(table + channel, mean)
    tl.store(table + C + channel, inverse)
    tl.store(table + 2 * C + channel, tl.load(weight + channel) * inverse)
    tl.store(table + 3 * C + channel, tl.load(bias + channel))
    old_mean, old_var = tl.load(running_mean + channel), tl.load(running_var + channel)
    tl.store(running_mean + channel, old_mean + (mean - old_mean) * momentum)
    unbiased = squared / (pixels - 1)
    tl.store(running_var + channel, old_var + (unbiased - old_var) * momentum)


@triton.jit
def pool(
    z: tl.tensor,
    table: tl.tensor,
    shortcut: tl.tensor,
    pooled: tl.tensor,
    H: tl.constexpr,
    W: tl.constexpr,
    C: tl.constexpr,
    S_H: tl.constexpr,
    S_W: tl.constexpr,
    S_C: tl.constexpr,
    S_STRIDE: tl.constexpr,
    S_BEFORE: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Global average pool [N, C] of the last block's output; a program for each image."""
    image, channel = tl.program_id(0), tl.arange(0, C)
    summed = tl.zeros([BLOCK, C], tl.float32)
    for start in range(0, H * W, BLOCK):
        pixel = start + tl.arange(0, BLOCK)
        inside = pixel < H * W
        at = (image * H * W + pixel)[:, None] * C + channel[None, :]
        y = _bn(tl.load(z + at, mask=inside[:, None], other=0.0), table, channel, channel < C, C)
        if shortcut is not None:
            h, w = pixel // W, pixel % W
            y += _carried(shortcut, image, h, w, inside, channel, S_H, S_W, S_C, S_STRIDE, S_BEFORE)
        summed += tl.where(inside[:, None], _relu(y), 0.0)
    mean = tl.sum(summed, axis=0) / (H * W)
    tl.store(pooled + image * C + channel, mean.to(pooled.dtype.element_ty))


@triton.jit
def _store_before_relu(
    grad: tl.tensor,
    positive: tl.tensor,
    values: tl.tensor,
    table: tl.tensor,
    out: tl.tensor,
    at: tl.tensor,
    valid: tl.tensor,
    channel: tl.tensor,
    parts: tl.tensor,
    C: tl.constexpr,
) -> None:
    """Stores the gradient of what a ReLU got, and sums of it and of it times the normalized map:
    the gradients of the BN's shift and scale, which its own backward pass needs.
    """
    program, programs = tl.program_id(0), tl.num_programs(0)
    rounded = tl.where(positive & valid, grad, 0.0).to(out.dtype.element_ty)
    tl.store(out + at, rounded, mask=valid)
    grad = rounded.to(tl.float32)
    mean = tl.load(table + channel)[None, :]
    inverse = tl.load(table + C + channel)[None, :]
    part = parts + channel * programs + program
    tl.store(part, tl.sum(grad, axis=0))
    normalized = (values.to(tl.float32) - mean) * inverse  # whatever it is where grad is 0
    tl.store(part + C * programs, tl.sum(grad * normalized, axis=0))


@triton.jit
def unpool(
    grad_pooled: tl.tensor,
    z: tl.tensor,
    table: tl.tensor,
    shortcut: tl.tensor,
    out: tl.tensor,
    parts: tl.tensor,
    pixels: int,
    H: tl.constexpr,
    W: tl.constexpr,
    C: tl.constexpr,
    S_H: tl.constexpr,
    S_W: tl.constexpr,
    S_C: tl.constexpr,
    S_STRIDE: tl.constexpr,
    S_BEFORE: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """From the gradient of the pooled map to that before the last ReLU, with its sums."""
    pixel, channel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK), tl.arange(0, C)
    inside = pixel < pixels
    valid = inside[:, None] & (channel < C)[None, :]
    n, h, w = pixel // (H * W), pixel // W % H, pixel % W
    at = pixel[:, None] * C + channel[None, :]
    values = tl.load(z + at, mask=valid, other=0.0)
    y = _bn(values, table, channel, channel < C, C)
    if shortcut is not None:
        y += _carried(shortcut, n, h, w, inside, channel, S_H, S_W, S_C, S_STRIDE, S_BEFORE)
    grad = tl.load(grad_pooled + n[:, None] * C + channel[None, :], mask=valid, other=0.0)
    grad = grad.to(tl.float32) / (H * W)
    _store_before_relu(grad, y > 0, values, table, out, at, valid, channel, parts, C)


@triton.jit
def _before_bn(
    grad: tl.tensor,
    z: tl.tensor,
    table: tl.tensor,
    means: tl.tensor,
    at: tl.tensor,
    valid: tl.tensor,
    channel: tl.tensor,
    C: tl.constexpr,
) -> tl.tensor:
    """The gradient of z from that of BN's output (Ioffe and Szegedy 2015, section 3):

    scale (grad - mean of grad - normalized z * mean of (grad * normalized z))
    """
    mean, scale = tl.load(table + channel)[None, :], tl.load(table + 2 * C + channel)[None, :]
    grad_mean = tl.load(means + channel)[None, :]
    slope = tl.load(means + C + channel)[None, :]
    centred = tl.load(z + at, mask=valid, other=0.0).to(tl.float32) - mean
    given = tl.load(grad + at, mask=valid, other=0.0).to(tl.float32)
    return tl.where(valid, scale * (given - grad_mean - centred * slope), 0.0)


@triton.jit
def input_gradient(
    grad: tl.tensor,
    z: tl.tensor,
    table: tl.tensor,
    means: tl.tensor,
    weight: tl.tensor,
    carried: tl.tensor,
    x: tl.tensor,
    x_table: tl.tensor,
    kept: tl.tensor,
    out: tl.tensor,
    parts: tl.tensor,
    pixels: int,
    H: tl.constexpr,
    W: tl.constexpr,
    INPUTS: tl.constexpr,
    OUTPUTS: tl.constexpr,
    STRIDE: tl.constexpr,
    J_H: tl.constexpr,
    J_W: tl.constexpr,
    J_C: tl.constexpr,
    J_STRIDE: tl.constexpr,
    J_BEFORE: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """From the gradient behind a convolution's BN to that before the ReLU of what it read.

    `grad`, `z`, `table` and `means` are the convolution's own, `x` [N, H, W, INPUTS], `x_table` and
    `kept` as in `convolve`, and `out` and `parts` as `_store_before_relu` leaves them. `carried` is
    the gradient [N, J_H, J_W, J_C] that comes back through the shortcut that begins at this map.
    """
    out_h: tl.constexpr = (H + STRIDE - 1) // STRIDE
    out_w: tl.constexpr = (W + STRIDE - 1) // STRIDE
    pixel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    n, h, w = pixel // (H * W), pixel // W % H, pixel % W
    channel, output = tl.arange(0, INPUTS), tl.arange(0, OUTPUTS)
    summed = tl.zeros([BLOCK, INPUTS], tl.float32)
    for tap in range(9):
        # the outputs that this tap adds the pixel to
        over_h, over_w = h + 1 - tap // 3, w + 1 - tap % 3
        to_h, to_w = over_h // STRIDE, over_w // STRIDE
        inside = (pixel < pixels) & (over_h >= 0) & (to_h < out_h) & (over_w >= 0) & (to_w < out_w)
        inside = inside & (over_h % STRIDE == 0) & (over_w % STRIDE == 0)
        valid = inside[:, None] & (output < OUTPUTS)[None, :]
        at = ((n * out_h + to_h) * out_w + to_w)[:, None] * OUTPUTS + output[None, :]
        behind = _before_bn(grad, z, table, means, at, valid, output, OUTPUTS)
        filters = weight + output[:, None] * (9 * INPUTS) + tap * INPUTS + channel[None, :]
        behind = behind.to(weight.dtype.element_ty)
        summed = tl.dot(behind, tl.load(filters), summed, input_precision="ieee")
    if carried is not None:
        new = channel + J_BEFORE
        there = (pixel < pixels) & (h % J_STRIDE == 0) & (w % J_STRIDE == 0)
        at = ((n * J_H + h // J_STRIDE) * J_W + w // J_STRIDE)[:, None] * J_C + new[None, :]
        summed += tl.load(carried + at, mask=there[:, None], other=0.0).to(tl.float32)
    at = pixel[:, None] * INPUTS + channel[None, :]
    valid = (pixel < pixels)[:, None] & (channel < INPUTS)[None, :]
    values = tl.load(x + at, mask=valid, other=0.0)
    if kept is not None:
        positive = tl.load(kept + at, mask=valid, other=0.0) > 0
    else:
        positive = _bn(values, x_table, channel, channel < INPUTS, INPUTS) > 0
    _store_before_relu(summed, positive, values, x_table, out, at, valid, channel, parts, INPUTS)


@triton.jit
def weight_gradient(
    grad: tl.tensor,
    z: tl.tensor,
    table: tl.tensor,
    means: tl.tensor,
    x: tl.tensor,
    x_table: tl.tensor,
    parts: tl.tensor,
    pixels: int,
    H: tl.constexpr,
    W: tl.constexpr,
    INPUTS: tl.constexpr,
    OUTPUTS: tl.constexpr,
    STRIDE: tl.constexpr,
    K: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """The gradient of a convolution's weights, in `parts` float32 [programs, OUTPUTS, 9, INPUTS].

    Program (i, tap) sums every so many-th block of output pixels. The input is x itself without
    `x_table`, else relu(BN(x)).
    """
    out_h: tl.constexpr = (H + STRIDE - 1) // STRIDE
    out_w: tl.constexpr = (W + STRIDE - 1) // STRIDE
    program, programs, tap = tl.program_id(0), tl.num_programs(0), tl.program_id(1)
    channel, output = tl.arange(0, K), tl.arange(0, OUTPUTS)
    real = channel < INPUTS
    summed = tl.zeros([OUTPUTS, K], tl.float32)
    for start in range(program * BLOCK, pixels, programs * BLOCK):
        pixel = start + tl.arange(0, BLOCK)
        valid = (pixel < pixels)[:, None] & (output < OUTPUTS)[None, :]
        at = pixel[:, None] * OUTPUTS + output[None, :]
        behind = _before_bn(grad, z, table, means, at, valid, output, OUTPUTS)
        n, to_h, to_w = pixel // (out_h * out_w), pixel // out_w % out_h, pixel % out_w
        h, w = to_h * STRIDE + tap // 3 - 1, to_w * STRIDE + tap % 3 - 1
        inside = (pixel < pixels) & (h >= 0) & (h < H) & (w >= 0) & (w < W)
        there = inside[:, None] & real[None, :]
        at = ((n * H + h) * W + w)[:, None] * INPUTS + channel[None, :]
        a = tl.load(x + at, mask=there, other=0.0)
        if x_table is not None:
            a = tl.where(there, _relu(_bn(a, x_table, channel, real, INPUTS)), 0.0)
        dtype = grad.dtype.element_ty
        summed = tl.dot(tl.trans(behind.to(dtype)), a.to(dtype), summed, input_precision="ieee")
    at = ((program * OUTPUTS + output[:, None]) * 9 + tap) * INPUTS + channel[None, :]
    tl.store(parts + at, summed, mask=real[None, :])


@triton.jit
def reduce(
    weight_parts: tl.tensor,
    grad_weight: tl.tensor,
    weights: int,
    weight_programs: int,
    bn_parts: tl.tensor,
    table: tl.tensor,
    grad_scale: tl.tensor,
    grad_shift: tl.tensor,
    means: tl.tensor,
    pixels: int,
    bn_programs: int,
    C: tl.constexpr,
    CHANNELS: tl.constexpr,
    CHUNK: tl.constexpr,
) -> None:
    """Adds up what the programs of a backward pass have summed.

    The first programs take `CHANNELS` each of the BN before a convolution, whose `means` [2, C] are
    those that `_before_bn` subtracts; the others take `CHUNK` each of the convolution's weights.
    """
    program = tl.program_id(0)
    if program * CHANNELS < C:
        if bn_parts is not None:
            channel = program * CHANNELS + tl.arange(0, CHANNELS)
            shift = tl.zeros([CHANNELS, CHUNK], tl.float32)
            scale = tl.zeros([CHANNELS, CHUNK], tl.float32)
            for start in range(0, bn_programs, CHUNK):
                part = start + tl.arange(0, CHUNK)[None, :]
                at, there = channel[:, None] * bn_programs + part, part < bn_programs
                shift += tl.load(bn_parts + at, mask=there, other=0.0)
                scale += tl.load(bn_parts + C * bn_programs + at, mask=there, other=0.0)
            shifts, scales = tl.sum(shift, axis=1), tl.sum(scale, axis=1)
            tl.store(grad_shift + channel, shifts)
            tl.store(grad_scale + channel, scales)
            tl.store(means + channel, shifts / pixels)
            tl.store(means + C + channel, scales / pixels * tl.load(table + C + channel))
    else:
        if weight_parts is not None:
            at = (program - C // CHANNELS) * CHUNK + tl.arange(0, CHUNK)
            summed = tl.zeros([CHUNK], tl.float32)
            for part in range(weight_programs):
                summed += tl.load(weight_parts + part * weights + at, mask=at < weights, other=0.0)
            tl.store(grad_weight + at, summed.to(grad_weight.dtype.element_ty), mask=at < weights)

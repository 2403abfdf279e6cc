"""The order of the images and their random bits: pure functions of (seed, epoch, sample).

Nothing here has a state: the iteration number alone resumes a run, and the answers are the same on
every device and for any number of processes. An epoch shows each image once, and a batch may cross
the end of an epoch, as in Caffe.
"""

from functools import lru_cache

import torch
from torch import Tensor

_TWO_64 = 1 << 64
Part = tuple[int, int]  # rank and world size of a process that makes a part of each batch
ALL: Part = (0, 1)


@lru_cache(maxsize=2)  # a batch crosses at most one end of an epoch, unless the set is tiny
def epoch_order(count: int, *, seed: int, epoch: int) -> Tensor:
    """The permutation of 0..count-1 in which `epoch` shows the images: int64 [count] on the CPU."""
    generator = torch.Generator().manual_seed(int(mix(torch.tensor(seed), epoch)))
    return torch.randperm(count, generator=generator)


def batch_indices(
    iteration: int, *, batch_size: int, count: int, seed: int, part: Part = ALL
) -> tuple[Tensor, Tensor]:
    """The images of one batch, or of one process's equal `part` of it, and their epochs.

    Two int64 [N] on the CPU.
    """
    position = torch.arange(iteration * batch_size, (iteration + 1) * batch_size)
    epochs, offsets = position // count, position % count
    indices = torch.empty_like(offsets)
    for epoch in range(int(epochs[0]), int(epochs[-1]) + 1):
        now = epochs == epoch
        indices[now] = epoch_order(count, seed=seed, epoch=epoch)[offsets[now]]
    share = batch_size // part[1]
    mine = slice(part[0] * share, (part[0] + 1) * share)
    return indices[mine], epochs[mine]


def sample_hashes(indices: Tensor, epochs: Tensor, *, seed: int) -> Tensor:
    """64 random bits per image and epoch: int64 [N], a function of (seed, epoch, image)."""
    return mix(mix(mix(torch.zeros_like(indices), seed), epochs), indices)


def mix(key: Tensor, value: Tensor | int) -> Tensor:
    """A 64-bit hash of (key, value), element by element: int64 -> int64.

    The finalizer of splitmix64 (Steele et al. 2014).
    """
    value = value if isinstance(value, Tensor) else torch.full_like(key, value)
    x = key + (value + 1) * _signed(0x9E3779B97F4A7C15)  # int64 wraps around, as intended
    x = (x ^ _shift(x, 30)) * _signed(0xBF58476D1CE4E5B9)
    x = (x ^ _shift(x, 27)) * _signed(0x94D049BB133111EB)
    return x ^ _shift(x, 31)


def _shift(x: Tensor, bits: int) -> Tensor:
    """A logical right shift; that of torch is arithmetic."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _signed(constant: int) -> int:
    """The int64 with the bits of an unsigned 64-bit constant."""
    return constant - _TWO_64 if constant >= _TWO_64 // 2 else constant


def uniform(bits: Tensor, count: int, *, lowest: int) -> Tensor:
    """Draws from 0..count-1, with the 20 bits of `bits` that start at `lowest`: int64.

    The relative bias is below count / 2**20.
    """
    return (((bits >> lowest) & 0xFFFFF) * count) >> 20

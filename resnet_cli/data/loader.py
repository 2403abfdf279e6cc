"""The interface between a training step and the source of its batches."""

from typing import Protocol

from torch import Tensor


class Loader(Protocol):
    """A source of training batches: a pure function of the iteration number, in two halves.

    `draw` runs on the host: it moves to the device what the batch is made of, without waiting for
    it. `prepare` runs on the device: it augments, and depends on those tensors alone, so that it
    can be compiled and captured with the step. With several processes, each makes its `part` of the
    same batch of `batch_size` images.
    """

    batch_size: int

    @property
    def count(self) -> int:
        """Training images in an epoch."""

    def draw(self, iteration: int) -> tuple[Tensor, ...]:
        """What `prepare` needs for the batch of this iteration, on the device."""

    def prepare(self, *drawn: Tensor) -> tuple[Tensor, Tensor]:
        """Augmented, normalized images float32 [N, 3, H, W], and labels int64 [N]."""

    def batch(self, iteration: int) -> tuple[Tensor, Tensor]:
        """Both halves, one after the other."""

    def close(self) -> None:
        """Ends the worker processes, if there are any."""

"""A moving average of a network's weights and BN statistics, to be evaluated in their place.

Not in the paper. A checkpoint keeps both: training goes on with the weights themselves.
"""

import copy
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from resnet_cli.models.resnet import Network


class Ema:
    """avg = d avg + (1 - d) w after every step, from the initial weights on.

    d is `decay`, but (1 + n) / (10 + n) in step n while that is smaller, as TensorFlow's
    ExponentialMovingAverage has it: the initial weights are soon forgotten, in a short run too.
    """

    def __init__(self, network: Network, decay: float) -> None:
        """`decay`: above 0, below 1."""
        self.decay = decay
        self.network: Network = copy.deepcopy(network).eval().requires_grad_(False)
        pairs = zip(_values(network), _values(self.network), strict=True)
        self._weights, self._averages = map(list, zip(*pairs, strict=True))
        # on the device, where a captured step reads it
        first = self._weights[0]
        self._share = torch.zeros((), dtype=first.dtype, device=first.device)

    def decay_at(self, iteration: int) -> float:
        """The decay of an iteration, counted from 0."""
        step = iteration + 1
        return min(self.decay, (1 + step) / (10 + step))

    def begin_step(self, iteration: int) -> None:
        """Before the step of that iteration, counted from 0; waits for nothing."""
        self._share.fill_(1 - self.decay_at(iteration))

    @torch.no_grad()
    def update(self) -> None:
        """After a step, on the device: three launches for all tensors."""
        change = torch._foreach_sub(self._weights, self._averages)
        torch._foreach_mul_(change, self._share)
        torch._foreach_add_(self._averages, change)

    def state(self) -> Iterator[Tensor]:
        """Every tensor that `update` changes."""
        yield from self._averages

    def restore(self, saved: Mapping[str, Tensor]) -> None:
        """Continues from an average that fits the network, or from weights."""
        self.network.load_state_dict(saved)


def _values(network: Network) -> list[Tensor]:
    """Weights and BN's running means and variances, but not its counters."""
    values = [*network.parameters(), *network.buffers()]
    return [value.detach() for value in values if value.is_floating_point()]

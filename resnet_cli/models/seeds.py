"""Many seeds as one network: R runs of one architecture side by side in R times the channels.

A small network leaves a GPU idle between launches, and R of them in one launch as many kernels as
one. Each keeps to its own channels: convolutions get R times the groups, batch norm is a matter of
single channels anyway, shortcut A pads each seed's channels by themselves, and every seed has its
own head. So each seed's numbers are those of the network alone, but for the order of sums, and
elementwise updates (SGD with momentum and weight decay) stay what they are.

Nothing trains this way yet: whether it is faster is for a GPU to say
(`python -m scripts.benchmark seeds`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad

from resnet_cli.models.blocks import ZeroPadIdentity
from resnet_cli.models.layers import BatchNorm
from resnet_cli.models.resnet import ResNet


class Seeds(ResNet):
    """Networks of one architecture as one: [N, R * 3, H, W] -> logits [R, N, num_classes].

    Each seed has its own three channels of the images (`torch.cat(images_of_each, dim=1)`), so it
    may draw its own crops. Parameters and buffers have the names of the network alone and are those
    of the seeds, one behind the other, so that `split` gives each its own, and `join` takes them.
    They are copies. What else is set on a network (training mode, BN groups, activation
    checkpointing) is as in the first.

    The loss to train with is the sum of `losses_of_each`: its gradients are each seed's own. A seed
    that diverges leaves the others' numbers alone, as no sum runs over seeds but that one. (Images
    must be finite: in bf16 oneDNN multiplies the channel behind an odd number of channels, which is
    the next seed's, by zero.) What becomes of the seed itself is for the caller to decide, since
    `found_inf` stops all that an optimizer updates. Without it, the seed's weights become NaN, and
    its entry of `losses_of_each` tells. To stop it as a run alone is stopped, give each seed an
    optimizer of its own, with its own `found_inf`, over what `split` gives it: views, updated in
    place. In fp16 each seed would also need a loss scale of its own.
    """

    def __init__(self, networks: Sequence[ResNet]) -> None:
        """Raises ValueError if there are none, or if their architectures differ."""
        if not networks:
            raise ValueError("one network of many seeds needs at least one network")
        first, nets = networks[0], [network.architecture for network in networks]
        differing = [
            part.name
            for part in fields(nets[0])
            if any(getattr(net, part.name) != getattr(nets[0], part.name) for net in nets)
        ]
        if differing:
            raise ValueError(
                f"networks that differ in {', '.join(differing)} cannot become one: "
                "all must have the same architecture"
            )
        with torch.device("meta"):  # draws no numbers
            super().__init__(nets[0])
            self.shapes = {name: value.shape for name, value in self.state_dict().items()}
            for name, module in first.named_modules():
                wide = _widened(module, len(networks))
                if wide is not None:
                    self.set_submodule(name, wide)
        self.count = len(networks)
        self.load_state_dict(self.join([one.state_dict() for one in networks]), assign=True)
        self.set_activation_checkpointing(first.activation_checkpointing)
        self.train(first.training)

    @staticmethod
    def join(each: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Tensors of each seed, by names of the network alone, as those of this one; copied."""
        return {name: torch.cat([torch.atleast_1d(one[name]) for one in each]) for name in each[0]}

    def split(self, values: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
        """Tensors of this network as those of each seed alone: views, without a gradient's history.

        `values` are, by the names of `state_dict`, what has its shapes: the state itself, gradients
        or momentum. Each seed's state is what `ResNet.load_state_dict` takes.
        """
        parts = {name: value.detach().chunk(self.count) for name, value in values.items()}
        return [
            {name: part[seed].view(self.shapes[name]) for name, part in parts.items()}
            for seed in range(self.count)
        ]


def losses_of_each(logits: Tensor, labels: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """Each seed's mean cross-entropy in nats: [R, N, classes] and int64 [R, N] -> [R].

    Their sum is what to call `backward` on.
    """
    losses = cross_entropy(
        logits.flatten(0, 1), labels.flatten(), reduction="none", label_smoothing=label_smoothing
    )
    return losses.view_as(labels).mean(dim=1)


def _widened(module: nn.Module, seeds: int) -> nn.Module | None:
    """The layer for so many seeds side by side, or None if any number of channels suits it."""
    if isinstance(module, nn.Conv2d):
        return nn.Conv2d(
            seeds * module.in_channels,
            seeds * module.out_channels,
            module.kernel_size,  # type: ignore[arg-type]  # declared as of any length
            module.stride,  # type: ignore[arg-type]
            module.padding,  # type: ignore[arg-type]
            groups=seeds * module.groups,
            bias=module.bias is not None,
        )
    if isinstance(module, BatchNorm):
        wide = BatchNorm(seeds * module.num_features, eps=module.eps, momentum=module.momentum)
        wide.group_size = module.group_size
        wide.num_batches_tracked = torch.zeros(seeds, dtype=torch.int64)
        return wide
    if isinstance(module, ZeroPadIdentity):
        return _ZeroPadEach(module, seeds)
    if isinstance(module, nn.Linear):
        return _Heads(module.in_features, seeds * module.out_features)
    return None


class _ZeroPadEach(nn.Module):
    """Shortcut A of every seed: its zero channels stand beside its own channels.

    [N, R * inputs, H, W] -> [N, R * outputs, ceil(H / stride), ceil(W / stride)], channels_last.
    """

    def __init__(self, one: ZeroPadIdentity, seeds: int) -> None:
        super().__init__()
        self.seeds, self.stride, self.new = seeds, one.stride, (one.before, one.behind)

    def forward(self, x: Tensor) -> Tensor:
        kept = x[:, :, :: self.stride, :: self.stride].permute(0, 2, 3, 1)
        padded = pad(kept.unflatten(3, (self.seeds, -1)), self.new)
        return padded.flatten(3).permute(0, 3, 1, 2)


class _Heads(nn.Linear):
    """The last layers of R seeds: [N, R * inputs] -> [R, N, outputs]."""

    def forward(self, x: Tensor) -> Tensor:
        each = x.unflatten(1, (-1, self.in_features)).transpose(0, 1)
        weight = self.weight.unflatten(0, (len(each), -1))
        return torch.baddbmm(self.bias.view(len(each), 1, -1), each, weight.mT)

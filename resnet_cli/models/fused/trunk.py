"""A network of basic blocks, trained through fused kernels.

A layer takes two launches forward: the convolution, and the statistics of its BN. Backward it takes
three: the gradient of its input, that of its weights, and the sums of both.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from resnet_cli.models.fused.chain import Layer, Shortcut, chain
from resnet_cli.models.fused.launch import (
    Behind,
    Carried,
    Convolved,
    Read,
    convolve,
    input_gradient,
    pool,
    reduce,
    unpool,
    weight_gradient,
)
from resnet_cli.models.resnet import ResNet


class FusedResNet(nn.Module):
    """`network`, trained through fused kernels: another way to compute the same function.

    It has the network's own parameters and running averages, and in evaluation is the network
    itself. `chain.against` says which networks it is not for.
    """

    def __init__(self, network: ResNet) -> None:
        super().__init__()
        self.network, self.layers = network, chain(network)

    def forward(self, images: Tensor) -> Tensor:
        """Normalized images [N, 3, H, W], which get no gradient -> logits [N, num_classes]."""
        if not self.network.training:
            return self.network(images)
        parameters = [one for layer in self.layers for one in layer.parameters]
        return self.network.fc(_Trunk.apply(self.layers, images, *parameters))


class _Trunk(torch.autograd.Function):
    """Images [N, 3, H, W] -> the global average pool [N, C] of the last block's output.

    `parameters` are those of the layers in turn. Maps have the dtype of the convolutions' weights.
    """

    @staticmethod
    def forward(ctx: Any, layers: list[Layer], images: Tensor, *parameters: Tensor) -> Tensor:
        starts = {layer.shortcut.start for layer in layers if layer.shortcut}
        reads = [Read(x=images.contiguous(memory_format=torch.channels_last))]
        maps: list[Convolved] = []
        with torch.cuda.device_of(images):
            for layer, weight in zip(layers, parameters[::3], strict=True):
                maps.append(convolve(reads[-1], weight, stride=layer.stride, bn=layer.bn))
                z, table = maps[-1].z, maps[-1].table
                kept = torch.empty_like(z) if len(reads) in starts else None
                way = layer.shortcut
                into = _carry(reads[way.start].kept, way) if way else None
                reads.append(Read(x=z, table=table, shortcut=into, kept=kept))
            pooled = pool(reads[-1])
        ctx.save_for_backward(*parameters[::3])
        ctx.layers, ctx.reads, ctx.maps = layers, reads, maps
        return pooled

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        """Runs once: what is no longer needed makes room on the way."""
        gradients: list[Tensor] = []  # from the last parameter to the first
        returning: dict[int, Carried] = {}  # by the layer where their shortcut begins
        with torch.cuda.device_of(grads[0]):
            read = ctx.reads.pop()
            behind: Behind | None = unpool(grads[0], read)
            sums = reduce(None, None, behind=behind, table=read.table)
            backwards = reversed(list(zip(ctx.layers, ctx.saved_tensors, strict=True)))
            for layer, weight in backwards:
                assert behind and sums
                read, convolved, grad = ctx.reads.pop(), ctx.maps.pop(), behind.grad
                if layer.shortcut:
                    returning[layer.shortcut.start] = _carry(grad, layer.shortcut)
                grad_weight = torch.empty_like(weight, memory_format=torch.channels_last)
                gradients += [sums.shift, sums.scale, grad_weight]
                same = {"read": read, "stride": layer.stride}
                parts = weight_gradient(grad, convolved, sums.means, **same)
                carried = returning.pop(len(ctx.reads), None)
                behind = None  # the images get no gradient
                if ctx.reads:
                    behind = input_gradient(
                        grad, convolved, sums.means, weight=weight, carried=carried, **same
                    )
                sums = reduce(parts, grad_weight, behind=behind, table=read.table)
        return None, None, *reversed(gradients)


def _carry(map: Tensor | None, shortcut: Shortcut) -> Carried:
    assert map is not None, "a map is kept where a shortcut begins"
    return Carried(map=map, stride=shortcut.stride, before=shortcut.before)

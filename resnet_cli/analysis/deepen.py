"""The construction of section 1: a deeper network that computes what a shallower one does.

"The added layers are identity mapping, and the other layers are copied from the learned shallower
model." An identity layer is a 3x3 convolution with a single 1 in its middle (Dirac's delta), a BN
that changes nothing, and a ReLU, which keeps what is not negative: the output of the ReLU before.

It is exact in floating point. The convolution adds x * 1 and many x * 0. BN computes
(x - 0) / sqrt(var + eps) * 1 + 0, and with var = 1 - eps, rounded to float32, var + eps is 1 to the
last bit.
"""

import dataclasses

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from resnet_cli.analysis.walk import batches
from resnet_cli.data.images import Normalizer, Split
from resnet_cli.models.architecture import Architecture, Block, Shortcut
from resnet_cli.models.blocks import BasicBlock
from resnet_cli.models.resnet import ResNet
from resnet_cli.runtime.errors import UserError


def validate_can_deepen(shallow: Architecture, deep: Architecture) -> None:
    """Whether identity layers make `deep` out of `shallow`. Raises UserError."""
    for net in (shallow, deep):
        if net.shortcut is not Shortcut.none or net.block is not Block.basic:
            raise UserError(
                f"{net.name}: section 1's construction is of plain networks, such as plain20; "
                "in a residual one F = 0 is enough"
            )
    same = dataclasses.replace(deep, blocks=shallow.blocks) == shallow
    pairs = list(zip(shallow.blocks, deep.blocks, strict=False))
    if not same or any(few > many for few, many in pairs) or shallow.blocks == deep.blocks:
        raise UserError(f"{deep.name} is not {shallow.name} with layers added")


@torch.no_grad()
def deepened(shallow: ResNet, deep: Architecture) -> ResNet:
    """`shallow` with identity layers at the end of every stage, in eval mode: blocks of `deep`.

    It lies in memory as checkpoints are opened, channels_last. Raises UserError where they do not
    make it.
    """
    validate_can_deepen(shallow.architecture, deep)
    network = ResNet(deep).eval()
    state = shallow.state_dict()
    network.load_state_dict(network.state_dict() | state)
    copied = shallow.named_blocks()
    for name, block in network.named_blocks().items():
        if name not in copied:
            assert isinstance(block, BasicBlock)
            for conv, norm in ((block.conv1, block.bn1), (block.conv2, block.bn2)):
                nn.init.dirac_(conv.weight)
                assert norm.running_mean is not None and norm.running_var is not None
                nn.init.ones_(norm.weight)
                nn.init.zeros_(norm.bias)
                norm.running_mean.zero_()
                norm.running_var.fill_(1 - norm.eps)
    weight = next(shallow.parameters())
    return network.to(weight.device, weight.dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]


@dataclasses.dataclass(frozen=True)
class Outputs:
    """What a network says of all images of a split, in fp32: `logits` float32 [N, classes]."""

    logits: Tensor
    labels: Tensor

    @property
    def error(self) -> float:
        """In percent."""
        return 100 * float((self.logits.argmax(dim=1) != self.labels).double().mean())

    @property
    def loss(self) -> float:
        return float(cross_entropy(self.logits.double(), self.labels))


@torch.inference_mode()
def outputs(
    network: nn.Module, split: Split, normalizer: Normalizer, *, batch_size: int = 250
) -> Outputs:
    """`network` as it is, BN not folded."""
    logits = [network(images) for images, _ in batches(split, normalizer, batch_size)]
    return Outputs(torch.cat(logits), split.labels)

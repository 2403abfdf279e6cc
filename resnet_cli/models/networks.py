"""Any network as modules: ours, and those that torchvision builds to compare with."""

from typing import cast

from torch import nn

from resnet_cli.models.architecture import Family
from resnet_cli.models.comparison import DENSENET_BLOCKS, AnyNetwork, Comparison
from resnet_cli.models.layers import BatchNorm
from resnet_cli.models.resnet import Network, ResNet, initialize


def build_network(net: AnyNetwork) -> Network:
    """The network with He's initial weights: normalized images [N, 3, H, W] -> logits."""
    return _compared(net) if isinstance(net, Comparison) else ResNet(net)


def _compared(net: Comparison) -> Network:
    """torchvision's module, its names and its forward pass, with our BN, which knows groups."""
    module = _from_torchvision(net)
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                ours = BatchNorm(child.num_features, eps=child.eps, momentum=child.momentum)
                setattr(parent, name, ours)
    network = cast(Network, module)
    network.architecture, network.activation_checkpointing = net, False
    network.apply(initialize)
    return network


def _from_torchvision(net: Comparison) -> nn.Module:
    from torchvision import models  # takes a second; most networks do without

    classes = net.num_classes
    if net.family is Family.densenet:
        return models.DenseNet(32, DENSENET_BLOCKS[net.depth], 64, num_classes=classes)
    if net.family is Family.googlenet:
        return models.GoogLeNet(num_classes=classes, aux_logits=False, init_weights=False)
    if net.family is Family.alexnet:
        return models.AlexNet(num_classes=classes)
    network = models.get_model(net.name, num_classes=classes, init_weights=False)
    if net.image_size == 32:
        network.avgpool = nn.AdaptiveAvgPool2d(1)
        network.classifier = nn.Linear(512, classes)
    return network

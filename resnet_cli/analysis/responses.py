"""Fig. 7: how strongly each 3x3 layer responds, as the standard deviation of its output after
BN, before ReLU and addition. With pre-activation no BN stands between a block's last layer and the
addition.
"""

import json
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from resnet_cli.analysis.subject import open_subject
from resnet_cli.data.choices import DatasetName
from resnet_cli.data.images import Normalizer, Split
from resnet_cli.models.fold_bn import conv_bn_pairs
from resnet_cli.paper.responses import FILE, Responses, kept
from resnet_cli.run.build import load_dataset
from resnet_cli.runtime.console import Console
from resnet_cli.runtime.errors import UserError
from resnet_cli.runtime.files import write_whole

IMAGES = 1000  # of the test split; a layer's std over them is good to well under a percent


def of_run(folder: Path, *, network: str, root: str) -> Responses:
    """The responses of a finished run's last checkpoint: kept beside it as responses.json, and
    measured where that is missing.

    `root`: where the data lies, if not in $RESNET_DATA or `data`; what the run itself names is not
    opened. Raises UserError or DataError where there is no checkpoint or no data.
    """
    if (found := kept(folder)) is not None:
        return found
    subject = open_subject(folder, [])
    assert subject.origin is not None and subject.normalizer is not None, "a checkpoint of ours"
    if subject.config.dataset.name is DatasetName.imagenet:
        raise UserError(f"{folder}: Fig. 7 is of CIFAR-10's networks, this run is on imagenet")
    if subject.name != network:
        raise UserError(f"{subject.path} is of {subject.name}, not of {network}")
    config = subject.config.dataset
    data = load_dataset(config if root is None else replace(config, root=root), Console())
    assert isinstance(data.test, Split)
    built = subject.network.to(memory_format=torch.contiguous_format)
    std = measure(built, subject.normalizer, data.test[:IMAGES])
    found = Responses(
        layers=list(std),
        std=list(std.values()),
        images=min(IMAGES, len(data.test)),
        iteration=subject.origin.iteration,
    )
    with suppress(OSError):  # a folder that cannot be written to is measured every time
        write_whole(folder / FILE, json.dumps(asdict(found)) + "\n")
    return found


@torch.inference_mode()
def measure(
    network: nn.Module, normalizer: Normalizer, split: Split, *, batch_size: int = 250
) -> dict[str, float]:
    """3x3 layer -> std of its response over all images, channels and positions, in fp32, in the
    order of the forward pass.

    BN normalises with its running averages, as when testing.
    """
    totals: dict[str, Tensor] = {}

    def count(name: str, response: Tensor) -> None:
        values = response.double()
        sums = torch.stack(
            [torch.tensor(values.numel(), dtype=torch.float64), values.sum(), values.square().sum()]
        )
        totals[name] = totals.get(name, 0) + sums

    hooks = [
        norm.register_forward_hook(
            lambda _module, _inputs, response, name=name: count(name, response)
        )
        for name, norm in after_3x3(network).items()
    ]
    try:
        network.eval()
        for images in split.images.split(batch_size):
            network(normalizer(images))
    finally:
        for hook in hooks:
            hook.remove()
    return {
        name: float((squares / n - (total / n) ** 2).clamp_min(0).sqrt())
        for name, (n, total, squares) in totals.items()
    }


def after_3x3(network: nn.Module) -> dict[str, nn.Module]:
    """Each 3x3 convolution's name and the module whose output is its response: the BN that follows
    it at once, or itself where an addition does.
    """
    norms = {
        parent.get_submodule(conv): parent.get_submodule(norm)
        for parent, conv, norm in conv_bn_pairs(network)
    }
    return {
        name: norms.get(module, module)
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3)
    }

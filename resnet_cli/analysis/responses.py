"""Fig. 7: how strongly each 3x3 layer responds, as the standard deviation of its output after
BN, before ReLU and addition.
"""

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from resnet_cli.config.schema import architecture, from_plain
from resnet_cli.data import cifar10, datasets
from resnet_cli.data.choices import DatasetName
from resnet_cli.data.images import Normalizer, Split
from resnet_cli.evaluation.weights import load_weights
from resnet_cli.models.resnet import ResNet
from resnet_cli.runtime.errors import UserError
from resnet_cli.runtime.files import write_whole
from resnet_cli.training import checkpoint

FILE = "responses.json"
LARGEST = 1 << 20  # bytes of that file; 1,202 layers are 50 thousand
IMAGES = 1000  # of the test split; a layer's std over them is good to well under a percent


@dataclass(frozen=True)
class Responses:
    """One network's layers from the first to the last, each with the std of its response."""

    layers: list[str]
    std: list[float]
    images: int
    iteration: int


def can_measure(folder: Path) -> bool:
    """Whether a run folder has the responses, or the checkpoint to measure them from."""
    return (folder / FILE).is_file() or (folder / "checkpoints" / checkpoint.LAST).is_file()


def of_run(folder: Path, *, network: str, root: str) -> Responses:
    """The responses of a finished run's last checkpoint: kept beside it as responses.json, and
    measured where that is missing.

    `network`: what the run trained, by `Architecture.name`. `root`: where CIFAR-10 lies. A
    checkpoint may be anybody's: what it says of folders and servers is not followed. Raises
    UserError or DataError where there is no checkpoint or no data, ValueError where a file does
    not hold what it should.
    """
    kept = folder / FILE
    if kept.is_file():
        return _read(kept)
    path = checkpoint.resolve(folder)
    saved = checkpoint.load(path)
    config = from_plain(saved["config"])
    name = config.dataset.name
    if name is DatasetName.imagenet:
        raise UserError(f"{folder}: Fig. 7 is of CIFAR-10's networks, this run is on {name}")
    net = architecture(config, num_classes=len(cifar10.CLASSES))
    if net.name != network:
        raise UserError(f"{path} is of {net.name}, not of {network}")
    data = datasets.load(
        name,
        root=Path(root).expanduser(),
        train_images=1,  # none of them is looked at
        test_images=config.dataset.test_images,
    )
    assert isinstance(data.test, Split)
    built = ResNet(net)
    load_weights(built, saved["network"], path=path, name=net.name)
    std = measure(built, Normalizer(**saved["normalizer"]), data.test[:IMAGES])
    found = Responses(
        list(std), list(std.values()), min(IMAGES, len(data.test)), saved["progress"]["iteration"]
    )
    with suppress(OSError):  # a folder that is only read is measured again next time
        write_whole(kept, json.dumps(asdict(found)) + "\n")
    return found


def _read(path: Path) -> Responses:
    """A responses.json. Raises ValueError for anything else."""
    if path.stat().st_size > LARGEST:
        raise ValueError(f"{path} is too large")
    content = json.loads(path.read_text(errors="replace"))
    try:
        names = [str(one) for one in content["layers"]]
        std = [float(one) for one in content["std"]]
        found = Responses(names, std, int(content["images"]), int(content["iteration"]))
    except (KeyError, TypeError, OverflowError) as error:
        raise ValueError(f"{path} does not hold the responses of layers") from error
    if len(names) != len(std) or not std or not all(0 <= one < 1e6 for one in std):
        raise ValueError(f"{path} does not hold the responses of layers")
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


def after_3x3(network: nn.Module) -> dict[str, nn.BatchNorm2d]:
    """Each 3x3 convolution's name and the BN that follows it: `layer1.0.conv1` and
    `layer1.0.bn1`.
    """
    modules = dict(network.named_modules())
    convolutions = [
        name
        for name, module in modules.items()
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3)
    ]
    norms = {name: modules["bn".join(name.rsplit("conv", 1))] for name in convolutions}
    return {name: norm for name, norm in norms.items() if isinstance(norm, nn.BatchNorm2d)}

"""The paper's recipe, as conf/ has it, and where a run differs from it.

A figure or table of the paper takes runs of the paper's recipe alone. A few settings the paper
leaves open: these are no deviations, but a table says them.
"""

import re
from functools import cache
from typing import Any

from resnet_cli.config import compose
from resnet_cli.config.plain import to_plain, trained
from resnet_cli.config.schema import RunConfig, architecture
from resnet_cli.data.choices import DatasetName
from resnet_cli.models.architecture import Shortcut
from resnet_cli.models.zoo import NETWORKS
from resnet_cli.runtime.conf import options

# Told elsewhere: the length beside the paper's, the seed as a seed, the number format as the one
# that was computed with. The compiler and fused blocks change no more than a last bit.
_ELSEWHERE = {"seed", "schedule.iterations", "precision", "compile", "fused_blocks"}
# Number formats that only round differently. fp16 skips the steps whose gradients overflow.
_SOUND_PRECISIONS = {"fp32", "bf16"}
# Images that BN may normalize together. CIFAR-10: "a mini-batch size of 128 on two GPUs". ImageNet:
# the paper does not say how many GPUs shared its 256; with two to eight they are 128 to 32.
_TOGETHER = {DatasetName.cifar10: {64}, DatasetName.imagenet: {32, 64, 128}}
_CLASSES = {DatasetName.cifar10: 10, DatasetName.imagenet: 1000}


@cache
def papers_recipe(
    depth: int, shortcut: Shortcut, dataset: DatasetName, *, network: str = ""
) -> dict[str, Any]:
    """What conf/ trains a network of the paper with, under dotted keys; of later papers by the name
    of the `network`, whatever its shortcut.

    A network without a file of its own gets what its data set's others have, but for `model.*`.
    """
    named = options("model")
    kinds = ("plain", "resnet") if shortcut is Shortcut.none else ("resnet",)
    later = [one for one, net in NETWORKS.items() if _base(net.name) == _base(network)]
    alike = later + [name for kind in kinds if (name := f"{kind}{depth}") in named]
    model = next(iter(alike), None)
    overrides = [f"model={model or 'resnet20'}", f"dataset={dataset}", f"shortcut={shortcut}"]
    recipe = trained(to_plain(compose.run_config(overrides)))
    return recipe if model else {k: v for k, v in recipe.items() if not k.startswith("model.")}


def differences(config: RunConfig) -> dict[str, Any]:
    """What of a run is not as in the paper's recipe for its network, its length aside."""
    data = config.dataset.name
    network = architecture(config, num_classes=10).name
    papers = dict(papers_recipe(config.model.depth, config.shortcut, data, network=network))
    ours = trained(to_plain(config)) | {"bn_batch": _together(config)}
    if "eval_every" in papers:  # a plateau's patience counts evaluations, and these scale along
        scale = config.schedule.iterations / papers["schedule.iterations"]
        papers["eval_every"] = max(1, round(papers["eval_every"] * scale))
        ours.setdefault("eval_every", papers["eval_every"])  # with milestones they decide nothing
    if ours["model.num_classes"] == _CLASSES.get(data):
        ours["model.num_classes"] = None  # as many as the data has
    keys = set(papers) if "model.depth" not in papers else papers.keys() | ours.keys()
    return {
        key: ours.get(key) for key in sorted(keys - _ELSEWHERE) if ours.get(key) != papers.get(key)
    }


def _base(network: str) -> str:
    """`preact110` of preact110-A."""
    return re.sub(r"-[ABC]$", "", network)


def _together(config: RunConfig) -> int | None:
    """How many images BN normalizes together; None for the whole batch."""
    if config.bn_batch is None and config.devices > 1 and not config.sync_bn:
        return config.batch_size // config.devices  # as older versions did, without writing it down
    return config.bn_batch


def is_sound(precision: str) -> bool:
    """Whether all that a run was computed in, as in `bf16+fp32`, only rounds differently."""
    return set(precision.split("+")) <= _SOUND_PRECISIONS


def deviations(different: dict[str, Any], *, dataset: str, precision: str) -> tuple[str, ...]:
    """What of `differences`, and of number formats, the paper's recipe does not leave open."""
    left_open = {f"bn_batch={size}" for size in _TOGETHER.get(DatasetName(dataset), ())}
    found = [setting for setting in told(different) if setting not in left_open]
    if precision and not is_sound(precision):
        found.append(f"precision={precision}")
    return tuple(found)


def told(different: dict[str, Any]) -> tuple[str, ...]:
    """`batch_size=64`, ..., as on the command line."""
    return tuple(f"{key}={_typed(value)}" for key, value in different.items())


def _typed(value: Any) -> str:
    if isinstance(value, list):
        return f"[{','.join(f'{one:.6g}' for one in value)}]"
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)

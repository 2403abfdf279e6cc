"""What resnet-eval writes of where the numbers come from: what was trained, and on which data."""

from collections.abc import Sequence
from typing import Any

from resnet_cli.analysis.subject import Subject
from resnet_cli.config.plain import to_plain, trained
from resnet_cli.data.identity import fingerprint
from resnet_cli.data.images import Dataset
from resnet_cli.models.architecture import Architecture, Block

# Of a checkpoint's config, what an evaluation may set anew, and what only says how it computes.
NOT_TRAINED = {"seed", "precision", "compile", "fused_blocks", "dataset.test_images"}


def training_of(subject: Subject) -> dict[str, Any]:
    """How a checkpoint was trained; `recipe`, `seed` and `iteration` are None for weights of
    another project, which do not say.
    """
    net = subject.network.architecture
    ours = subject.origin is not None
    config = trained(to_plain(subject.config))
    return {
        "network": net.name,
        "stride_in": str(net.stride_in)
        if isinstance(net, Architecture) and net.block is Block.bottleneck
        else None,
        "seed": subject.config.seed if ours else None,
        "iteration": subject.origin.iteration if subject.origin else None,
        "recipe": {key: value for key, value in config.items() if key not in NOT_TRAINED}
        if ours
        else None,
    }


def identity(subjects: Sequence[Subject], dataset: Dataset) -> dict[str, Any]:
    """The lines of resnet-eval's JSON that let resnet-report tell whose numbers these are."""
    splits = {"train": dataset.train, **dataset.held_out}
    return {
        "trained": [training_of(one) for one in subjects],
        "data": {
            "fingerprint": fingerprint(dataset.classes),
            "images": {name: len(split) for name, split in splits.items()},
        },
    }

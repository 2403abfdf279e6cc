"""Where a run is kept: a folder named after what was chosen."""

import functools
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from resnet_cli.config.plain import to_plain, trained
from resnet_cli.config.schema import Settings, architecture
from resnet_cli.config.tree import compose_tree, to_config
from resnet_cli.models.zoo import NETWORKS

# groups whose choice names the run folder; other keys show in it where they differ
_CHOICES = ("model", "dataset", "schedule", "experiment")
_LONGEST = 200  # characters of a folder's name


def run_folder(config: Settings, choices: Mapping[str, str]) -> Path:
    """The folder of a run, below `runs`: `cifar10/resnet56-A/schedule.iterations=4000/seed0`.

    `choices`: what the command line chose of which group. The same choices lead to the same
    folder, in whatever order they are typed. The part in the middle names the experiment or
    schedule, and every value that differs from what the choices alone compose; it is left out where
    nothing differs.
    """
    chosen = {group: name for group, name in choices.items() if group in _CHOICES}
    new, old = trained(to_plain(config)), _trained_by(chosen | _first_of_its_name(chosen))
    named = {"model.depth", "shortcut", "seed"}
    changed = [
        f"{key}={new[key]}" for key in sorted(new) if key not in named and new[key] != old.get(key)
    ]
    recipe = _recipe(chosen, config.dataset.name)
    middle = re.sub(r"[^\w.,=+-]+", "_", ",".join([*recipe, *changed]))
    if len(middle) > _LONGEST:  # file systems stop at 255; config.yaml tells what it was
        middle = f"{middle[: _LONGEST - 9]}-{hashlib.sha256(middle.encode()).hexdigest()[:8]}"
    return Path(
        config.dataset.label or config.dataset.name,
        architecture(config, num_classes=10).name,
        middle,
        f"seed{config.seed}",
    )


def _trained_by(chosen: dict[str, str]) -> Mapping[str, Any]:
    """What groups alone train, under dotted keys."""
    return _composed_once(*(f"{group}={name}" for group, name in chosen.items()))


@functools.cache  # the runs of a sweep share their choices, and composing takes most of planning it
def _composed_once(*choices: str) -> Mapping[str, Any]:
    return trained(to_plain(to_config(compose_tree([*choices]))))


def _first_of_its_name(chosen: dict[str, str]) -> dict[str, str]:
    """The model that the run folder is named after: resnet50 for resnext50_1x64d, which is the same
    but for the stride.
    """
    net = NETWORKS.get(chosen.get("model", ""))
    named = [name for name, other in NETWORKS.items() if net and other.name == net.name]
    return {"model": named[0]} if named else {}


def _recipe(chosen: dict[str, str], dataset: str) -> list[str]:
    """The names of the chosen experiment and schedule, where they change what is trained.

    A schedule named like the data set does not, nor does an experiment that only lists networks.
    """
    recipe = [
        chosen[group]
        for group in ("experiment", "schedule")
        if chosen.get(group, dataset) != dataset
    ]
    if "experiment" in chosen:
        others = {group: name for group, name in chosen.items() if group != "experiment"}
        if _trained_by(others) == _trained_by(chosen):
            recipe.remove(chosen["experiment"])
    return recipe

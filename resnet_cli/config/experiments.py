"""What conf/ says of the paper: the networks of each experiment, and the recipe of each data set.

Read without Hydra, which starts slowly; a test compares with what Hydra composes.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from resnet_cli.config.plain import flatten, to_plain
from resnet_cli.config.schema import MISSING, Settings
from resnet_cli.models.architecture import Architecture, Shortcut
from resnet_cli.models.zoo import NETWORKS
from resnet_cli.runtime.conf import options, read


@dataclass(frozen=True, kw_only=True)
class Planned:
    """One run of an experiment: what is typed for it, and the network it trains."""

    model: str  # resnet34
    overrides: Mapping[str, str]  # the other keys the experiment goes through: shortcut -> B
    network: Architecture  # network.name is what folders, tables and curves call it: resnet34-B


@cache
def networks(experiment: str) -> tuple[str, ...]:
    """The networks of `experiment=NAME`, called as `Architecture.name` calls them."""
    return tuple(run.network.name for run in _runs(read(f"experiment/{experiment}")))


def experiments() -> dict[str, list[Planned]]:
    """Every experiment of conf/experiment that lists networks, with its runs in the order they are
    trained.
    """
    files = {name: read(f"experiment/{name}") for name in options("experiment")}
    return {name: _runs(said) for name, said in files.items() if "hydra" in said}


def _runs(said: dict[str, Any]) -> list[Planned]:
    """The combinations that an experiment goes through."""
    params = said["hydra"]["sweeper"]["params"]
    values = [[one.strip() for one in str(listed).split(",")] for listed in params.values()]
    runs = []
    for combination in itertools.product(*values):
        chosen = dict(zip(params, combination, strict=True))
        model = chosen.pop("model")
        network = NETWORKS[model]
        if "shortcut" in chosen:
            network = replace(network, shortcut=Shortcut(chosen["shortcut"]))
        runs.append(Planned(model=model, overrides=chosen, network=network))
    return runs


def recipe(dataset: str, model: str) -> dict[str, Any]:
    """What `resnet-train model=MODEL dataset=DATASET` trains, under dotted keys.

    Keys whose value depends on the machine hold what conf/ says: `auto`, `${...}`.
    """
    flat = flatten(to_plain(Settings()))
    files = [
        "train",
        f"dataset/{dataset}",
        f"model/{model}",
        "optimizer/sgd",
        f"schedule/{dataset}",
    ]
    tweak = f"{dataset}_{model}"
    if tweak in options("tweak"):
        files.append(f"tweak/{tweak}")
    for file in files:
        flat |= {key: value for key, value in flatten(read(file)).items() if key in flat}
    assert MISSING not in flat.values()
    return flat

"""Name -> network: those of conf/model, each with the shortcut the paper gives it."""

import re
from enum import StrEnum
from typing import Any

from resnet_cli.models.architecture import (
    Activation,
    Architecture,
    Block,
    Family,
    Shortcut,
    Stem,
    ZeroPadding,
)
from resnet_cli.models.comparison import AnyNetwork, Comparison
from resnet_cli.models.families import make_architecture
from resnet_cli.runtime.conf import options, read
from resnet_cli.runtime.errors import did_you_mean

# the keys of `model` whose values are words
_KINDS: dict[str, type[StrEnum]] = {
    "family": Family,
    "stem": Stem,
    "block": Block,
    "activation": Activation,
    "zero_padding": ZeroPadding,
}


def _network(said: dict[str, Any]) -> AnyNetwork:
    """The network that a file of conf/model describes."""
    model: dict[str, Any] = {
        key: _KINDS[key](value) if key in _KINDS else value for key, value in said["model"].items()
    }
    return make_architecture(**model, shortcut=Shortcut(said["shortcut"]))


def _networks() -> dict[str, AnyNetwork]:
    """CIFAR's first, the paper's before later ones, plain before residual, shallow before deep."""
    named = {name: _network(read(f"model/{name}")) for name in options("model")}

    def place(item: tuple[str, AnyNetwork]) -> tuple[bool, bool]:
        name, net = item
        return net.stem is not Stem.cifar, not name.startswith(("plain", "resnet"))

    return dict(sorted(named.items(), key=place))


_EVERY = _networks()
NETWORKS = {name: net for name, net in _EVERY.items() if isinstance(net, Architecture)}
COMPARISONS = {name: net for name, net in _EVERY.items() if isinstance(net, Comparison)}


def did_you_mean_network(name: str) -> str:
    """`: did you mean 'resnet20' or 'resnet18'?` for resnet21: the nearest depths first."""
    asked = re.fullmatch(r"(plain|resnet|preact)-?(\d+)", name.lower())
    if asked is None:
        return did_you_mean(name, _EVERY)
    kind, depth = asked[1], int(asked[2])
    alike = [one for one in NETWORKS if re.fullmatch(rf"{kind}\d+", one)]
    nearest = sorted(alike, key=lambda one: abs(NETWORKS[one].depth - depth))[:2]
    if nearest[0] == f"{kind}{depth}":  # ResNet-56
        nearest = nearest[:1]
    return ": did you mean " + " or ".join(f"'{one}'" for one in nearest) + "?"

"""Name -> network: those of conf/model, each with the shortcut the paper gives it."""

import re
from typing import Any

from resnet_cli.models.architecture import Architecture, Family, Shortcut, Stem, make_architecture
from resnet_cli.runtime.conf import options, read
from resnet_cli.runtime.errors import did_you_mean


def _network(said: dict[str, Any]) -> Architecture:
    """The network that a file of conf/model describes."""
    model = dict(said["model"])
    family = Family(model.pop("family", Family.cifar))
    return make_architecture(**model, family=family, shortcut=Shortcut(said["shortcut"]))


def _networks() -> dict[str, Architecture]:
    """CIFAR's first, plain before residual, shallow before deep."""
    named = {name: _network(read(f"model/{name}")) for name in options("model")}
    return dict(sorted(named.items(), key=lambda item: item[1].stem is not Stem.cifar))


NETWORKS = _networks()
# ResNeXt (Xie et al. 2017) and Wide ResNet (Zagoruyko and Komodakis 2016), by torchvision's names
WIDER = [name for name, net in NETWORKS.items() if (net.groups, net.width_per_group) != (1, 64)]


def did_you_mean_network(name: str) -> str:
    """`: did you mean 'resnet20' or 'resnet18'?` for resnet21: the nearest depths first."""
    asked = re.fullmatch(r"(plain|resnet)-?(\d+)", name.lower())
    if asked is None:
        return did_you_mean(name, NETWORKS)
    kind, depth = asked[1], int(asked[2])
    alike = [one for one in NETWORKS if re.fullmatch(rf"{kind}\d+", one)]
    nearest = sorted(alike, key=lambda one: abs(NETWORKS[one].depth - depth))[:2]
    if nearest[0] == f"{kind}{depth}":  # ResNet-56
        nearest = nearest[:1]
    return ": did you mean " + " or ".join(f"'{one}'" for one in nearest) + "?"

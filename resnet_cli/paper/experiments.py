"""Which networks an experiment trains, as its file in conf/experiment says."""

from functools import cache

from resnet_cli.models.zoo import NETWORKS
from resnet_cli.runtime.conf import read


@cache
def networks(experiment: str) -> tuple[str, ...]:
    """The networks of `experiment=NAME`, called as `Architecture.name` calls them."""
    swept = read(f"experiment/{experiment}")["hydra"]["sweeper"]["params"]["model"]
    return tuple(NETWORKS[name].name for name in swept.split(","))

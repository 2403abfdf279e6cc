"""Which networks an experiment trains, as its file in conf/experiment says."""

from functools import cache

import yaml

from resnet_cli.config.compose import CONF_DIR
from resnet_cli.models.zoo import NETWORKS


@cache
def networks(experiment: str) -> tuple[str, ...]:
    """The networks of `experiment=NAME`, called as `Architecture.name` calls them."""
    tree = yaml.safe_load((CONF_DIR / "experiment" / f"{experiment}.yaml").read_text())
    return tuple(
        NETWORKS[name].name for name in tree["hydra"]["sweeper"]["params"]["model"].split(",")
    )

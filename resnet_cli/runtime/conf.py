"""Where conf/ lies and what its files say.

They are the only list of networks, data sets, recipes and experiments.
"""

import re
from pathlib import Path
from typing import Any

import yaml

_PACKAGE = Path(__file__).resolve().parent.parent
# inside an installed package, beside it in a checkout
CONF_DIR = next(
    (path for path in (_PACKAGE / "conf", _PACKAGE.parent / "conf") if path.is_dir()),
    _PACKAGE / "conf",
)


def options(group: str) -> list[str]:
    """The files of a config group, in the order people count: resnet20 before resnet110."""
    names = [path.stem for path in (CONF_DIR / group).glob("*.yaml")]
    return sorted(
        names,
        key=lambda name: [
            int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)
        ],
    )


def read(name: str) -> dict[str, Any]:
    """What the file `NAME.yaml` of conf/ says, from the root of a config.

    `dataset/cifar10` comes under the key `dataset`; `train`, and files for the whole config
    (`# @package _global_`), as they stand. Hydra's `defaults` are left out and `${...}` is not
    resolved.
    """
    text = (CONF_DIR / f"{name}.yaml").read_text()
    said: dict[str, Any] = yaml.safe_load(text)
    said.pop("defaults", None)
    group, _, _ = name.rpartition("/")
    return {group: said} if group and not text.startswith("# @package _global_") else said

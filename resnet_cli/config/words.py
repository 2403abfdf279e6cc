"""The words of a command line as a person types them."""

import re
import shlex
from pathlib import Path

from resnet_cli.runtime.errors import UserError
from resnet_cli.runtime.files import expand


def quote_paths(overrides: list[str]) -> list[str]:
    """Quotes values that are paths, so that they can be typed as they are.

    Hydra would take `lr=0.05,batch_size=64`, a run folder, for a sweep and stop at `My Drive`.
    """
    paths = ("resume", "runs", "dataset.root", "dataset.label", "weights")
    pairs = [override.partition("=") for override in overrides]
    return [
        f"{key}='{value}'"
        if key in paths and re.search(r"[^\w./+-]", value) and not re.search(r"""['"$]""", value)
        else f"{key}{equals}{value}"
        for key, equals, value in pairs
    ]


def paths_and_overrides(words: list[str]) -> tuple[list[Path], list[str]]:
    """What stands behind --ckpt, which swallows the overrides behind it. Raises UserError for a
    path that leads nowhere: at once, before PyTorch is awake.
    """
    overrides = [
        word
        for word in words
        if "=" in word and "/" not in word.split("=")[0] and not Path(word).exists()
    ]
    paths = [expand(word) for word in words if word not in overrides]
    for path in paths:
        if not path.exists():
            raise UserError(f"checkpoint {path}: no such file")
    return paths, quote_paths(overrides)


def command(name: str, overrides: list[str]) -> str:
    """The command line to type again, without the quotes of `quote_paths`."""
    return shlex.join(
        [name, *(re.sub(r"^([\w.]+)='(.*)'$", r"\1=\2", override) for override in overrides)]
    )

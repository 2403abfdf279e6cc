"""The config that a file carries: what was trained comes from there, and what touches network or
disk never does.
"""

import hashlib
import json
import shlex
from pathlib import Path
from typing import Any

from resnet_cli.config import compose as compose_module
from resnet_cli.config.plain import flatten, from_plain, to_plain
from resnet_cli.config.schema import BOOKKEEPING, RunConfig
from resnet_cli.config.validate import validate
from resnet_cli.runtime.choices import Precision, Switch
from resnet_cli.runtime.errors import UserError

# Always the command line's (or $RESNET_DATA's): a stranger's file chooses no server, no folder
# and no number of processes.
_PLACE = ("root", "label", "download", "mirror", "workers", "reindex", "on_error", "max_skipped")
# The command line's where it says so: what computes, and on how many images.
_FREE = ("device", "precision", "compile", "dataset.test_images")
_MAX_IMAGE_SIZE = 4096  # pixels


def parse_config(tree: Any, *, path: Path) -> RunConfig:
    """The config that the file at `path` carries. Raises UserError where it does not fit."""
    try:
        config = from_plain(tree)
    except ValueError as error:
        raise UserError(
            f"{path} was written by another version of resnet-train ({error})"
        ) from error
    try:
        validate(config)
    except UserError as error:
        raise UserError(f"{path} holds a config that cannot have been trained: {error}") from error
    if (config.dataset.image_size or 0) > _MAX_IMAGE_SIZE:
        raise UserError(f"{path}: dataset.image_size={config.dataset.image_size} is too large")
    return config


def in_fp32(overrides: list[str]) -> list[str]:
    """`overrides` with precision=fp32, unless they say another: for files of weights.

    Another machine adds in another order, which moves scores in fp32 by far less than the two
    likeliest classes of an image are apart: every machine counts the same errors. bf16's are not.
    """
    given = {override.split("=")[0].lstrip("+") for override in overrides}
    return overrides if "precision" in given else [*overrides, f"precision={Precision.fp32}"]


def compose(overrides: list[str]) -> RunConfig:
    """A config from overrides, as resnet-train reads them."""
    (job,), _ = compose_module.jobs(overrides, multirun=False)
    return job.config


def with_overrides(trained: RunConfig, overrides: list[str]) -> RunConfig:
    """The config of a run, to be measured here: where the data lies and how it is read is what
    `overrides` say, or as by default; of what was trained they may change nothing.

    Raises UserError for what they may not change.
    """
    asked = flatten(to_plain(compose([f"dataset={trained.dataset.name}", *overrides])))
    # what was worth it for training says nothing of a test
    tree = to_plain(trained) | {"compile": str(Switch.auto), "fused_blocks": False}
    places = [f"dataset.{name}" for name in _PLACE]
    given = [override.split("=")[0].lstrip("+") for override in overrides]
    for key in given:
        if key not in (*places, *_FREE):
            raise UserError(
                f"{key} cannot be changed here: the checkpoint knows what was trained; "
                f"{', '.join((*_FREE, *places))} can"
            )
    for key in {*places, *given}:
        group, _, name = key.rpartition(".")
        (tree[group] if group else tree)[name] = asked[key]
    return from_plain(tree)


def published(config: RunConfig) -> dict[str, Any]:
    """The plain config without what says where and how a run happened: paths, devices."""

    def kept(tree: dict[str, Any], prefix: str) -> dict[str, Any]:
        return {
            name: kept(value, f"{prefix}{name}.") if isinstance(value, dict) else value
            for name, value in tree.items()
            if f"{prefix}{name}" not in BOOKKEEPING
        }

    return kept(to_plain(config), "")


def published_command(command: str) -> str:
    """The command line without the words that say where and how a run happened; empty where it is
    none, as a file from elsewhere may have it.
    """
    try:
        words = shlex.split(command)
    except ValueError:  # an open quote
        return ""
    kept = (word for word in words if word.partition("=")[0].lstrip("+") not in BOOKKEEPING)
    return shlex.join(kept)


def parse_published(tree: dict[str, Any], *, path: Path) -> RunConfig:
    """`published` undone. Raises UserError where it does not fit."""
    dataset = tree.get("dataset")
    if isinstance(dataset, dict):
        tree = {**tree, "dataset": {"root": "", **dataset}}
    return parse_config(tree, path=path)


def digest(tree: dict[str, Any]) -> str:
    """SHA-256 of a plain config, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()

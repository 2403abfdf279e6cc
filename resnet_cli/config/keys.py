"""The keys of the command line, the values each may have, and what users of other tools type."""

import difflib
import re
from collections.abc import Sequence
from enum import StrEnum
from types import UnionType
from typing import Any, get_args

from resnet_cli.config.plain import RENAMED
from resnet_cli.config.schema import Config, fields_of
from resnet_cli.models.zoo import did_you_mean_network
from resnet_cli.runtime.conf import options
from resnet_cli.runtime.errors import UserError, did_you_mean

GROUPS = ("model", "dataset", "optimizer", "schedule", "experiment", "tweak")
LAUNCHER = "hydra/launcher"
LAUNCHERS = ("basic", "local", "submitit_local", "submitit_slurm")

# Other tools' names: ours, where the value may stay as it is, ...
_ALIASES = {
    "schedule.epochs": ("epoch", "epochs", "num_epochs", "max_epochs"),
    "schedule.iterations": ("iterations", "iters", "steps", "max_steps", "max_iter"),
    "batch_size": ("b", "batch", "bs", "train_batch_size"),
    "optimizer.lr": ("lr", "learning_rate", "base_lr"),
    "optimizer.weight_decay": ("wd", "decay"),
    "dataset.workers": ("j", "workers", "num_workers"),
    "dataset.root": ("data", "data_dir", "data_path", "root"),
    "model": ("arch", "net", "network"),
    "devices": ("gpu", "gpus", "num_gpus"),
    "runs": ("out", "output", "output_dir", "save_dir", "logdir"),
    "resume": ("checkpoint", "ckpt", "resume_from"),
    "wandb": ("project", "wandb_project"),
}
_OURS = {theirs: ours for ours, names in _ALIASES.items() for theirs in names}
# ... and what else to do, where ours is not another name for the same.
_POINTERS = {
    "hydra/sweeper": "a sweep runs every combination, whose folders are known before it starts; a "
    "sweeper that chooses by the errors of earlier runs, such as Optuna's, is not supported",
    "dataset.name": "dataset= chooses the data; dataset.label= names a folder of photographs",
    "depth": "the depth is part of the name, as in model=resnet56; model.depth=26 sets any other",
    "amp": "say precision=bf16, precision=fp16 or precision=fp32",
    "fp16": "say precision=fp16",
    "bf16": "say precision=bf16",
    "pretrained": "training starts from random weights, or with weights=FILE from those of a file; "
    "none are shipped for photographs",
}


def known_keys() -> list[str]:
    """What may stand before the `=`: groups, then the keys of the schema."""
    keys = [*GROUPS, LAUNCHER, *(name for name, _ in fields_of(Config))]
    keys.remove("dataset.name")  # follows from dataset=
    return keys


def values_of(key: str) -> list[str]:
    """The words that a key may be set to; none where it takes a number or a path."""
    if key in GROUPS:
        return options(key)
    if key == LAUNCHER:
        return [*LAUNCHERS]
    field = dict(fields_of(Config)).get(key)
    return [] if field is None else [*_values(field.type), *field.metadata["words"]]


def _values(kind: Any) -> list[str]:
    if isinstance(kind, UnionType):  # `Stem | None`
        return [
            *(value for one in get_args(kind) for value in _values(one)),
            *(["null"] if type(None) in get_args(kind) else []),
        ]
    if kind is bool:
        return ["true", "false"]
    return [*kind] if isinstance(kind, type) and issubclass(kind, StrEnum) else []


def validate_key(key: str) -> None:
    """Refuses keys that the schema does not have. Raises UserError that points to the right one."""
    if key in RENAMED:
        raise UserError(f"{key} is now {RENAMED[key]}")
    known = known_keys()
    if key in known or key.startswith("hydra."):
        return
    if key in _POINTERS:
        raise UserError(f"unknown key '{key}': {_POINTERS[key]}")
    if (meant := _meant(key)) is not None:
        raise UserError(f"unknown key '{key}': did you mean '{meant}'?")
    raise UserError(
        f"unknown key '{key}'{did_you_mean(key, known, otherwise='resnet-train --help lists them')}"
    )


def _meant(key: str) -> str | None:
    """Our key for another tool's name, or for one of ours without its group."""
    key = key.lower().replace("-", "_")
    known = known_keys()
    if key in known:
        return key
    return _OURS.get(key) or next((one for one in known if one.split(".")[-1] == key), None)


def validate_choice(group: str, choice: str) -> None:
    """Refuses group choices without a file. Raises UserError."""
    if group not in GROUPS or choice in options(group):
        return
    if group != "model":
        raise UserError(f"unknown {group} '{choice}'{did_you_mean(choice, options(group))}")
    hint = did_you_mean_network(choice)
    if (asked := re.fullmatch(r"(plain|resnet)(\d+)", choice)) and int(asked[2]) % 6 == 2:
        hint += f" Any 6n+2 layers: model={asked[1]}20 model.depth={asked[2]}"
    raise UserError(f"unknown model '{choice}'{hint}")


def validate_flags(arguments: Sequence[str], known: Sequence[str]) -> None:
    """Refuses flags there are not, with the setting that another tool's `--epochs 10` is here."""
    for position, word in enumerate(arguments):
        name, equals, value = word.partition("=")
        if not word.startswith("-") or name in known:
            continue
        key = name.lstrip("-").replace("-", "_")
        if near := difflib.get_close_matches(name, known, n=1, cutoff=0.8):
            raise UserError(f"unknown flag '{name}': did you mean '{near[0]}'?")
        if key in _POINTERS:
            raise UserError(f"unknown flag '{name}': {_POINTERS[key]}")
        following = arguments[position + 1] if position + 1 < len(arguments) else ""
        if not equals and re.fullmatch(r"[^-=][^=]*", following):
            value = following
        example = f"{meant}={value or '...'}" if (meant := _meant(key)) else "model=resnet56 seed=1"
        raise UserError(
            f"unknown flag '{name}': settings are written key=value, as in {example} "
            "(--help lists them)"
        )

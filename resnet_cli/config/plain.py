"""A run as plain values: what checkpoints keep, and other processes are given."""

import dataclasses
import reprlib
from contextlib import suppress
from enum import StrEnum
from types import NoneType, UnionType
from typing import Any, get_args, get_origin

from resnet_cli.config.schema import BOOKKEEPING, MISSING, RunConfig
from resnet_cli.training.schedule import Rule

# keys that were renamed, with what to type instead
RENAMED = {"checkpointing": "activation_checkpointing=true"}
# keys that older versions wrote into config.yaml, and that are resolved by now
_NOT_KEPT = {"scale", "dry_run", "jobs_per_device"}


def to_plain(value: Any) -> Any:
    """Dataclasses and enums as dicts, lists and strings, for YAML, JSON and checkpoints."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    if isinstance(value, dict):
        return {name: to_plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(part) for part in value]
    return str(value) if isinstance(value, str) else value


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{'model': {'depth': 20}} -> {'model.depth': 20}."""
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        flat |= (
            flatten(value, f"{prefix}{name}.")
            if isinstance(value, dict)
            else {f"{prefix}{name}": value}
        )
    return flat


def trained(tree: dict[str, Any]) -> dict[str, Any]:
    """The part of a plain config that says what is trained, under dotted keys.

    With the plateau rule `eval_every` belongs to it, as evaluations decide when the rate falls.
    """
    flat = flatten(tree)
    decides = {"eval_every"} if flat.get("schedule.rule") == Rule.plateau else set()
    return {name: value for name, value in flat.items() if name not in BOOKKEEPING - decides}


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """`key: old -> new` for whatever tells two runs apart; bookkeeping does not.

    Keys that an older version did not have take their default. Raises ValueError where `old` is not
    the config of a run.
    """
    old, new = trained(to_plain(from_plain(old))), trained(new)
    names = [name for name in new | old if old.get(name) != new.get(name)]
    return [f"{name}: {old.get(name)} -> {new.get(name)}" for name in names]


def from_plain(tree: Any) -> RunConfig:
    """The inverse of `to_plain`, for a config of this or of an older version.

    Raises ValueError naming the key that does not fit.
    """
    if not isinstance(tree, dict):
        raise ValueError("a config is a mapping of keys to values")
    tree = {name: value for name, value in tree.items() if name not in _NOT_KEPT}
    if "checkpointing" in tree:  # on or off, until it became activation_checkpointing
        tree["activation_checkpointing"] = tree.pop("checkpointing") in ("on", True)
    config = _convert(RunConfig, tree, name="")
    assert isinstance(config, RunConfig)
    return config


def _convert(kind: Any, value: Any, *, name: str) -> Any:
    """A plain value as the type of its field. Raises ValueError naming the key."""
    if dataclasses.is_dataclass(kind) and isinstance(value, dict):
        return _build(kind, value, prefix=name)
    if isinstance(kind, UnionType):  # `Stem | None`, `int | float`
        if value is None and NoneType in get_args(kind):
            return None
        *others, kind = (one for one in get_args(kind) if one is not NoneType)
        for one in others:
            with suppress(ValueError):
                return _convert(one, value, name=name)
    if get_origin(kind) is list and isinstance(value, list):
        return [_convert(get_args(kind)[0], one, name=name) for one in value]
    if isinstance(kind, type) and issubclass(kind, StrEnum) and isinstance(value, str):
        with suppress(ValueError):
            return kind(value)
    fits_64_bits = type(value) is not int or abs(value) < 2**63
    if kind is float and type(value) is int and fits_64_bits:
        return float(value)
    if kind in (bool, int, float, str) and type(value) is kind and fits_64_bits:
        return value
    raise ValueError(f"{name}={reprlib.repr(value)} does not fit")


def _build(kind: Any, values: dict[str, Any], *, prefix: str) -> Any:
    """A dataclass from plain values; missing keys take their default."""
    types = {one.name: one.type for one in dataclasses.fields(kind)}
    if unknown := [name for name in values if name not in types]:
        raise ValueError(f"unknown key {prefix}{unknown[0]}")
    parts = {
        name: _convert(types[name], value, name=f"{prefix}{name}{'.' * (type(value) is dict)}")
        for name, value in values.items()
    }
    built = kind(**parts)
    for name, part in types.items():
        if name not in values and dataclasses.is_dataclass(part):
            # a whole group may be left out where nothing in it has to be said
            _build(part, {}, prefix=f"{prefix}{name}.")
        if getattr(built, name) == MISSING:
            raise ValueError(f"{prefix}{name} is missing")
    return built

"""What Hydra does for us: words into overrides, and overrides into `Config`."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from resnet_cli.config.keys import validate_choice, validate_key
from resnet_cli.config.schema import Config
from resnet_cli.runtime.conf import CONF_DIR
from resnet_cli.runtime.errors import UserError

ConfigStore.instance().store(name="schema", node=Config)


@contextmanager
def hydra_ready() -> Iterator[None]:
    with hydra.initialize_config_dir(str(CONF_DIR), version_base="1.3", job_name="resnet-train"):
        yield


def parse_overrides(overrides: list[str]) -> list[Override]:
    try:
        return OverridesParser.create(
            config_loader=GlobalHydra.instance().config_loader()
        ).parse_overrides(overrides)
    except OverrideParseException as error:
        raise UserError(
            f"cannot read '{error.override}': expected key=value, as in model=resnet56 seed=1"
        ) from error
    except ValueError as error:  # thousands of digits
        raise UserError(f"cannot read a number: {first_line(error)}") from error


def validate_words(overrides: Iterable[Override]) -> None:
    """Refuses keys and choices there are not, also those that Hydra would let in with a `+`.

    Raises UserError.
    """
    overrides = list(overrides)
    for override in overrides:
        validate_key(override.key_or_group)
        if not override.is_sweep_override():
            validate_choice(override.key_or_group, str(override.value()))
    if {"schedule.epochs", "schedule.iterations"} <= {one.key_or_group for one in overrides}:
        raise UserError("schedule.epochs and schedule.iterations both say how long: leave one out")


def compose_tree(overrides: list[str], *, with_hydra: bool = False) -> DictConfig:
    """conf/train.yaml with `overrides`. Raises UserError in place of Hydra's many exceptions."""
    try:
        return hydra.compose("train", overrides, return_hydra_config=with_hydra)
    except MissingConfigException as error:
        raise UserError(first_line(error)) from error
    except (HydraException, OmegaConfBaseException) as error:
        reason = first_line(error.__cause__ or error)
        where = re.search(r"override (\S+)", str(error))
        prefix = where[1].strip("':.") + ": " if where else ""
        raise UserError(prefix + reason) from error


def to_config(composed: DictConfig) -> Config:
    """The composed tree as plain dataclasses."""
    try:
        config = OmegaConf.to_object(composed)
    except OmegaConfBaseException as error:
        raise UserError(first_line(error)) from error
    assert isinstance(config, Config)
    return config


def first_line(error: BaseException) -> str:
    """What an exception of Hydra says, without its advice."""
    return next(iter(str(error).splitlines()), type(error).__name__)

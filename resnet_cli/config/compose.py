"""Hydra's side of the house: find conf/, compose a command line into a `schema.Config`, say
clearly what does not fit.
"""

import hashlib
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from resnet_cli.config.launcher import GROUP, Launcher, is_launchers, launcher, validate_launcher
from resnet_cli.config.schema import (
    RENAMED,
    Config,
    RunConfig,
    Settings,
    architecture,
    differences,
    fields_of,
    to_plain,
    trained,
)
from resnet_cli.config.validate import resolve, validate
from resnet_cli.runtime.conf import CONF_DIR, options
from resnet_cli.runtime.errors import UserError, did_you_mean

# what a run's folder is named for; the rest shows where it differs
CHOICES = ("model", "dataset", "schedule", "experiment")
LONGEST = 200  # characters of a folder's name
GROUPS = ("model", "dataset", "optimizer", "schedule", "experiment", "tweak")

ConfigStore.instance().store(name="schema", node=Config)


@dataclass(frozen=True)
class Job:
    """One run of a command line: its config, its folder under `runs`, and the overrides that
    make it.
    """

    config: RunConfig
    folder: Path
    overrides: list[str]
    dry_run: bool = False


def jobs(overrides: list[str], *, multirun: bool) -> tuple[list[Job], Launcher | None]:
    """Every run a command line asks for, and for a sweep, what launches it.

    Raises UserError before anything has started.
    """
    with hydra_ready():
        parsed = parse(overrides)
        for override in parsed:
            validate_key(override)
            if not override.is_sweep_override():
                validate_choice(override)
        validate_launcher(parsed)
        root = compose(
            [o for o, p in zip(overrides, parsed, strict=True) if not p.is_sweep_override()],
            with_hydra=True,
        )
        sweep = multirun or str(root.hydra.mode) == "RunMode.MULTIRUN"
        launched = launcher(root, is_sweep=sweep)
        if not sweep:
            for override in parsed:
                if override.is_sweep_override():
                    raise UserError(
                        f"{override.input_line}: several values make a sweep; add -m to run "
                        "them all"
                    )
            return [job(overrides)], None
        params = [f"{key}={value}" for key, value in (root.hydra.sweeper.params or {}).items()]
        of_runs = [o for o, p in zip(overrides, parsed, strict=True) if not is_launchers(p)]
        try:
            (batch,) = BasicSweeper.split_arguments(parse(params + of_runs), max_batch_size=None)
        except HydraException as error:
            raise UserError(
                f"cannot sweep this: {error}; list the values, as in seed=0,1,2"
            ) from error
        found: dict[Path, Job] = {}
        for one in map(job, batch):
            found.setdefault(one.folder, one)  # seed=0,0 is one run
        return list(found.values()), launched


def job(overrides: list[str]) -> Job:
    """One run. Raises UserError for whatever does not fit."""
    parsed = parse(overrides)
    for override in parsed:
        validate_key(override)
        validate_choice(override)
    written = to_config(compose(overrides))
    validate(written)
    config = resolve(written)
    words = {
        word: override
        for word, override in zip(overrides, parsed, strict=True)
        if override.key_or_group in CHOICES
    }
    unchanged = to_config(compose(list(words)))
    chosen = {override.key_or_group: str(override.value()) for override in words.values()}
    recipe = [
        chosen[group]
        for group in ("experiment", "schedule")
        if chosen.get(group, config.dataset.name) != config.dataset.name
    ]
    if "experiment" in chosen:
        without = to_config(
            compose(
                [word for word, override in words.items() if override.key_or_group != "experiment"]
            )
        )
        if not differences(to_plain(without), to_plain(unchanged)):
            # it only says which networks to train, and shares their runs with other experiments
            recipe.remove(chosen["experiment"])
    folder = Path(config.runs).expanduser() / run_name(config, unchanged, recipe=recipe)
    return Job(config, folder, overrides, written.dry_run)


@contextmanager
def hydra_ready() -> Iterator[None]:
    with initialize_config_dir(str(CONF_DIR), version_base="1.3", job_name="resnet-train"):
        yield


def parse(overrides: list[str]) -> list[Override]:
    try:
        return OverridesParser.create(
            config_loader=GlobalHydra.instance().config_loader()
        ).parse_overrides(overrides)
    except OverrideParseException as error:
        raise UserError(
            f"cannot read '{error.override}': expected key=value, as in model=resnet56 seed=1"
        ) from error


def quote_paths(overrides: list[str]) -> list[str]:
    """Quotes the values that are paths, so that a run folder (`lr=0.05,batch_size=64`) or `My
    Drive` can be typed as it is.
    """
    paths = ("resume", "runs", "dataset.root")
    pairs = [override.partition("=") for override in overrides]
    return [
        f"{key}='{value}'"
        if key in paths and re.search(r"[^\w./+-]", value) and not re.search(r"""['"$]""", value)
        else f"{key}{equals}{value}"
        for key, equals, value in pairs
    ]


def command(name: str, overrides: list[str]) -> str:
    """The command line to type again, without the quotes of `quote_paths`."""
    return shlex.join(
        [name, *(re.sub(r"^([\w.]+)='(.*)'$", r"\1=\2", override) for override in overrides)]
    )


def known_keys() -> list[str]:
    """What may stand before the `=`: groups, then the keys of the schema."""
    keys = [*GROUPS, GROUP, *(name for name, _ in fields_of(Config))]
    keys.remove("dataset.name")  # follows from dataset=
    return keys


def validate_key(override: Override) -> None:
    """Refuses keys the schema does not have, also those that Hydra would let in with a `+`."""
    key = override.key_or_group
    if key in RENAMED:
        raise UserError(f"{key} is now {RENAMED[key]}")
    known = known_keys()
    if key not in known and not key.startswith("hydra."):
        if inside := [one for one in known if one.split(".")[-1] == key]:
            raise UserError(f"unknown key '{key}': did you mean '{inside[0]}'?")
        raise UserError(
            f"unknown key '{key}'"
            + did_you_mean(key, known, otherwise="resnet-train --help lists them")
        )


def validate_choice(override: Override) -> None:
    """Refuses group choices without a file."""
    group, choice = override.key_or_group, str(override.value())
    if group not in GROUPS or choice in options(group):
        return
    raise UserError(f"unknown {group} '{choice}'{did_you_mean(choice, options(group))}")


def compose(overrides: list[str], *, with_hydra: bool = False) -> DictConfig:
    """conf/train.yaml with `overrides`. Raises UserError in place of Hydra's many exceptions."""
    try:
        return hydra_compose("train", overrides, return_hydra_config=with_hydra)
    except MissingConfigException as error:
        raise UserError(str(error).splitlines()[0]) from error
    except (HydraException, OmegaConfBaseException) as error:
        cause: BaseException = error.__cause__ or error
        reason = str(cause).splitlines()[0]
        where = re.search(r"override (\S+)", str(error))
        prefix = where[1].strip("':.") + ": " if where else ""
        raise UserError(prefix + reason) from error


def to_config(composed: DictConfig) -> Config:
    """The composed tree as plain dataclasses."""
    try:
        config = OmegaConf.to_object(composed)
    except OmegaConfBaseException as error:
        raise UserError(str(error).splitlines()[0]) from error
    assert isinstance(config, Config)
    return config


def run_name(config: Settings, unchanged: Settings, *, recipe: Sequence[str] = ()) -> Path:
    """`cifar10/resnet56-A/schedule.iterations=4000/seed0`: the same choices find the same folder
    again, in whatever order they were typed.

    The part in the middle names the `recipe` (experiment and schedule, where chosen), and every
    value that is not as in `unchanged`: what these choices, model and dataset alone compose. It is
    left out where nothing differs.
    """
    new, old = trained(to_plain(config)), trained(to_plain(unchanged))
    named = {"model.depth", "shortcut", "seed"}
    changed = [
        f"{key}={new[key]}" for key in sorted(new) if key not in named and new[key] != old.get(key)
    ]
    middle = re.sub(r"[^\w.,=+-]+", "_", ",".join([*recipe, *changed]))
    if len(middle) > LONGEST:  # file systems stop at 255; config.yaml tells what it was
        middle = f"{middle[: LONGEST - 9]}-{hashlib.sha256(middle.encode()).hexdigest()[:8]}"
    return Path(
        config.dataset.name, architecture(config, num_classes=10).name, middle, f"seed{config.seed}"
    )

"""The only module that composes with Hydra: from a command line to the runs it asks for."""

import argparse
import hashlib
import math
import os
import re
import shlex
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import hydra
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import get_args_parser
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, RangeSweep
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from resnet_cli.config.keys import validate_choice, validate_key
from resnet_cli.config.launcher import Launcher, is_launcher_key, read_launcher, validate_launcher
from resnet_cli.config.schema import (
    Config,
    RunConfig,
    Settings,
    architecture,
    to_plain,
    trained,
)
from resnet_cli.config.validate import resolve, validate_written
from resnet_cli.models.zoo import NETWORKS
from resnet_cli.runtime.conf import CONF_DIR
from resnet_cli.runtime.errors import UserError
from resnet_cli.runtime.files import expand

# groups whose choice names the run folder; other keys show in it where they differ
_CHOICES = ("model", "dataset", "schedule", "experiment")
_LONGEST = 200  # characters of a folder's name
_MOST_RUNS = (
    10_000  # of a sweep: all are checked before one starts, a few hundredths of a second each
)

ConfigStore.instance().store(name="schema", node=Config)


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run of a command line, its folder, and the overrides that make it."""

    config: RunConfig
    folder: Path
    overrides: list[str]
    dry_run: bool = False


def jobs(overrides: list[str], *, multirun: bool) -> tuple[list[Job], Launcher | None]:
    """Every run a command line asks for, and for a sweep, what launches it.

    Raises UserError before anything has started.
    """
    with _hydra_ready():
        parsed = _parse(overrides)
        _validate_words(parsed)
        validate_launcher(parsed)
        root = _compose(
            [o for o, p in zip(overrides, parsed, strict=True) if not p.is_sweep_override()],
            with_hydra=True,
        )
        is_sweep = multirun or str(root.hydra.mode) == "RunMode.MULTIRUN"
        launched = read_launcher(root, is_sweep=is_sweep)
        if not is_sweep:
            if several := [one.input_line for one in parsed if one.is_sweep_override()]:
                raise UserError(
                    f"{several[0]}: several values make a sweep; add -m to run them all"
                )
            return [_job(overrides)], None
        params = [f"{key}={value}" for key, value in (root.hydra.sweeper.params or {}).items()]
        of_runs = [o for o, p in zip(overrides, parsed, strict=True) if not is_launcher_key(p)]
        found: dict[Path, Job] = {}
        for words in _combinations(params + of_runs):
            one = _job(words)
            found.setdefault(one.folder, one)  # seed=0,0 is one run
        return list(found.values()), launched


def run_config(overrides: list[str]) -> RunConfig:
    """What one run of known words would be: `jobs` without the folder's name and the checks of a
    person's typing, in a third of the time.
    """
    with _hydra_ready():
        return resolve(_to_config(_compose(overrides)))


def _combinations(overrides: list[str]) -> list[list[str]]:
    """The overrides of each run of a sweep. Raises UserError."""
    runs = math.prod(_count_values(one) for one in _parse(overrides))
    if runs > _MOST_RUNS:
        raise UserError(f"this sweep has {runs:,} runs: at most {_MOST_RUNS:,} at once")
    try:
        (batch,) = BasicSweeper.split_arguments(_parse(overrides), max_batch_size=None)
    except HydraException as error:
        raise UserError(f"cannot sweep this: {error}; list the values, as in seed=0,1,2") from error
    return batch


def _count_values(override: Override) -> int:
    """How many values an override has in a sweep. Raises UserError where there is none."""
    values = override.value()
    if not isinstance(values, RangeSweep):
        return 1 if not isinstance(values, ChoiceSweep) else len(values.list)
    assert values.start is not None and values.stop is not None
    steps = (values.stop - values.start) / values.step if values.step else 0
    if not 0 < steps < math.inf:
        raise UserError(f"{override.input_line}: there is no value in this range")
    return math.ceil(steps)


def _job(overrides: list[str]) -> Job:
    """One run. Raises UserError for whatever does not fit."""
    parsed = _parse(overrides)
    _validate_words(parsed)
    written = _to_config(_compose(overrides))
    if "schedule.iterations" in {one.key_or_group for one in parsed}:
        written.schedule.epochs = None  # which an experiment may have
    validate_written(written)
    config = resolve(written)
    if not config.runs.isprintable():  # bytes that are not text, which TensorBoard cannot write
        raise UserError(
            f"runs={config.runs}: not readable as text here; set LC_ALL=C.UTF-8, or choose another"
        )
    chosen = {one.key_or_group: str(one.value()) for one in parsed if one.key_or_group in _CHOICES}
    unchanged = _compose_choices(chosen | _first_of_its_name(chosen))
    folder = _run_folder(config, unchanged, recipe=_recipe(chosen, config.dataset.name))
    return Job(
        config=config,
        folder=expand(config.runs) / folder,
        overrides=overrides,
        dry_run=written.dry_run,
    )


def _compose_choices(chosen: dict[str, str]) -> Config:
    """What groups alone compose."""
    return _to_config(_compose([f"{group}={name}" for group, name in chosen.items()]))


def _first_of_its_name(chosen: dict[str, str]) -> dict[str, str]:
    """The model that the run folder is named after: resnet50 for resnext50_1x64d, which is the same
    but for the stride.
    """
    net = NETWORKS.get(chosen.get("model", ""))
    named = [name for name, other in NETWORKS.items() if net and other.name == net.name]
    return {"model": named[0]} if named else {}


def _recipe(chosen: dict[str, str], dataset: str) -> list[str]:
    """The names of the chosen experiment and schedule, where they change what is trained.

    A schedule named like the data set does not, nor does an experiment that only lists networks.
    """
    recipe = [
        chosen[group]
        for group in ("experiment", "schedule")
        if chosen.get(group, dataset) != dataset
    ]
    if "experiment" in chosen:
        others = {group: name for group, name in chosen.items() if group != "experiment"}
        without, with_it = (trained(to_plain(_compose_choices(one))) for one in (others, chosen))
        if without == with_it:
            recipe.remove(chosen["experiment"])
    return recipe


@contextmanager
def _hydra_ready() -> Iterator[None]:
    with hydra.initialize_config_dir(str(CONF_DIR), version_base="1.3", job_name="resnet-train"):
        yield


def _parse(overrides: list[str]) -> list[Override]:
    try:
        return OverridesParser.create(
            config_loader=GlobalHydra.instance().config_loader()
        ).parse_overrides(overrides)
    except OverrideParseException as error:
        raise UserError(
            f"cannot read '{error.override}': expected key=value, as in model=resnet56 seed=1"
        ) from error
    except ValueError as error:  # thousands of digits
        raise UserError(f"cannot read a number: {_first_line(error)}") from error


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
    """What stands behind --ckpt, which swallows the overrides behind it. Raises UserError."""
    overrides = [
        word
        for word in words
        if "=" in word and "/" not in word.split("=")[0] and not Path(word).exists()
    ]
    return [expand(word) for word in words if word not in overrides], quote_paths(overrides)


def command(name: str, overrides: list[str]) -> str:
    """The command line to type again, without the quotes of `quote_paths`."""
    return shlex.join(
        [name, *(re.sub(r"^([\w.]+)='(.*)'$", r"\1=\2", override) for override in overrides)]
    )


def _validate_words(overrides: Iterable[Override]) -> None:
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


def _compose(overrides: list[str], *, with_hydra: bool = False) -> DictConfig:
    """conf/train.yaml with `overrides`. Raises UserError in place of Hydra's many exceptions."""
    try:
        return hydra.compose("train", overrides, return_hydra_config=with_hydra)
    except MissingConfigException as error:
        raise UserError(_first_line(error)) from error
    except (HydraException, OmegaConfBaseException) as error:
        reason = _first_line(error.__cause__ or error)
        where = re.search(r"override (\S+)", str(error))
        prefix = where[1].strip("':.") + ": " if where else ""
        raise UserError(prefix + reason) from error


def _first_line(error: BaseException) -> str:
    """What an exception of Hydra says, without its advice."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def _to_config(composed: DictConfig) -> Config:
    """The composed tree as plain dataclasses."""
    try:
        config = OmegaConf.to_object(composed)
    except OmegaConfBaseException as error:
        raise UserError(_first_line(error)) from error
    assert isinstance(config, Config)
    return config


def answer_flags(arguments: list[str]) -> None:
    """Lets Hydra answer its own flags: `--cfg job`, `--info`, `--hydra-help`.

    Raises UserError for flags and overrides that do not fit, which Hydra would tell in its own way.
    """
    overrides = _flags_of(arguments).overrides
    with _hydra_ready():
        parsed = _parse(overrides)
        _validate_words(parsed)
        if several := [one.input_line for one in parsed if one.is_sweep_override()]:
            raise UserError(f"{several[0]}: one config at a time is shown; give one value")
        _compose(overrides)
    sys.argv[1:] = arguments
    main = hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name="train")
    # `--info | head`: its logging would complain of every line that nobody reads any more
    before = signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        with _raising():
            main(lambda _: None)()
        sys.stdout.flush()
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise UserError(_first_line(error)) from error
    except SystemExit as end:  # `--package` that there is not; Hydra has said so
        if end.code:
            raise SystemExit(2) from None
        raise
    finally:
        signal.signal(signal.SIGPIPE, before)


def _flags_of(arguments: list[str]) -> argparse.Namespace:
    """Hydra's flags as it reads them. Raises UserError where it would print its usage."""

    def refuse(message: str) -> NoReturn:
        raise UserError(message)

    parser = get_args_parser()
    parser.error = refuse  # type: ignore[method-assign]
    return parser.parse_args(arguments)


@contextmanager
def _raising() -> Iterator[None]:
    """While open, Hydra raises its errors instead of printing them."""
    name = "HYDRA_FULL_ERROR"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _run_folder(config: Settings, unchanged: Settings, *, recipe: Sequence[str] = ()) -> Path:
    """`cifar10/resnet56-A/schedule.iterations=4000/seed0`: where a run is kept, below `runs`.

    The same choices lead to the same folder, in whatever order they are typed. The part in the
    middle names the `recipe` and every value that differs from `unchanged`, what the choices alone
    compose; it is left out where nothing differs.
    """
    new, old = trained(to_plain(config)), trained(to_plain(unchanged))
    named = {"model.depth", "shortcut", "seed"}
    changed = [
        f"{key}={new[key]}" for key in sorted(new) if key not in named and new[key] != old.get(key)
    ]
    middle = re.sub(r"[^\w.,=+-]+", "_", ",".join([*recipe, *changed]))
    if len(middle) > _LONGEST:  # file systems stop at 255; config.yaml tells what it was
        middle = f"{middle[: _LONGEST - 9]}-{hashlib.sha256(middle.encode()).hexdigest()[:8]}"
    return Path(
        config.dataset.label or config.dataset.name,
        architecture(config, num_classes=10).name,
        middle,
        f"seed{config.seed}",
    )

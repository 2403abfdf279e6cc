"""From a command line to the runs it asks for."""

import math
from dataclasses import dataclass
from pathlib import Path

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.types import ChoiceSweep, Override, RangeSweep
from hydra.errors import HydraException

from resnet_cli.config.launcher import Launcher, is_launcher_key, read_launcher, validate_launcher
from resnet_cli.config.naming import run_folder
from resnet_cli.config.resolve import resolve
from resnet_cli.config.schema import RunConfig
from resnet_cli.config.tree import (
    compose_tree,
    hydra_ready,
    parse_overrides,
    to_config,
    validate_words,
)
from resnet_cli.config.validate import validate_written
from resnet_cli.runtime.errors import UserError
from resnet_cli.runtime.files import expand

# of a sweep: all are checked before one starts, a few hundredths of a second each
_MOST_RUNS = 10_000


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
    with hydra_ready():
        parsed = parse_overrides(overrides)
        validate_words(parsed)
        validate_launcher(parsed)
        root = compose_tree(
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
    with hydra_ready():
        return resolve(to_config(compose_tree(overrides)))


def _combinations(overrides: list[str]) -> list[list[str]]:
    """The overrides of each run of a sweep. Raises UserError."""
    runs = math.prod(_count_values(one) for one in parse_overrides(overrides))
    if runs > _MOST_RUNS:
        raise UserError(f"this sweep has {runs:,} runs: at most {_MOST_RUNS:,} at once")
    try:
        (batch,) = BasicSweeper.split_arguments(parse_overrides(overrides), max_batch_size=None)
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
    parsed = parse_overrides(overrides)
    validate_words(parsed)
    written = to_config(compose_tree(overrides))
    if "schedule.iterations" in {one.key_or_group for one in parsed}:
        written.schedule.epochs = None  # which an experiment may have
    validate_written(written)
    config = resolve(written)
    if not config.runs.isprintable():  # bytes that are not text, which TensorBoard cannot write
        raise UserError(
            f"runs={config.runs}: not readable as text here; set LC_ALL=C.UTF-8, or choose another"
        )
    folder = run_folder(config, {one.key_or_group: str(one.value()) for one in parsed})
    return Job(
        config=config,
        folder=expand(config.runs) / folder,
        overrides=overrides,
        dry_run=written.dry_run,
    )

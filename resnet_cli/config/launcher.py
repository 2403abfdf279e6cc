"""hydra/launcher: where the runs of a sweep are trained.

`local` is registered here; submitit's come with Hydra's plugin, where that is installed. Hydra only
reads which one was chosen, and launch/start.py launches: Hydra would instantiate launchers from
packages named hydra_plugins alone and compose every run again in its worker. Our workers get plain
configs and need no Hydra.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from resnet_cli.config.keys import LAUNCHER, LAUNCHERS
from resnet_cli.runtime.errors import UserError, did_you_mean

ConfigStore.instance().store(
    group=LAUNCHER,
    name="local",
    node={"_target_": "resnet_cli.launch.local.sweep"},
    provider="resnet_cli",
)


@dataclass(frozen=True, kw_only=True)
class Launcher:
    """What the command line says about launching its sweep."""

    name: str
    settings: dict[str, Any]  # the keys of hydra.launcher
    jobs_per_device: int | None


def is_launcher_key(override: Override) -> bool:
    """Whether an override says how a sweep is launched, and nothing about its runs."""
    return override.key_or_group == "jobs_per_device" or override.key_or_group.startswith(
        ("hydra.", "hydra/")
    )


def validate_launcher(overrides: Iterable[Override]) -> None:
    """Checks that there is one launcher, that it exists and is installed. Raises UserError."""
    for override in filter(is_launcher_key, overrides):
        if override.is_sweep_override() and not override.key_or_group.startswith("hydra.sweeper."):
            raise UserError(
                f"{override.input_line}: a sweep is launched in one way; give one value"
            )
        name = str(override.value())
        if override.key_or_group != LAUNCHER:
            continue
        if name not in LAUNCHERS:
            raise UserError(f"unknown launcher '{name}'{did_you_mean(name, LAUNCHERS)}")
        if name not in GlobalHydra.instance().config_loader().get_group_options(LAUNCHER):
            raise UserError(
                f"{LAUNCHER}={name} needs submitit, which is not installed: pip install "
                "'resnet-cli[slurm]'"
            )


def read_launcher(root: DictConfig, *, is_sweep: bool) -> Launcher:
    """The launcher of a composed command line.

    Raises UserError for settings that nothing would use.
    """
    name, jobs_per_device = str(root.hydra.runtime.choices[LAUNCHER]), root.jobs_per_device
    if name != "basic" and not is_sweep:
        raise UserError(f"{LAUNCHER}={name} is for sweeps, even of one run; add -m")
    if root.devices == "auto" and name.startswith("submitit"):
        raise UserError(
            "devices=auto: the machine that submits need not be like those that train; say a number"
        )
    if jobs_per_device is not None and name != "local":
        raise UserError(
            f"jobs_per_device={jobs_per_device}: only sweeps share a device; add -m "
            f"{LAUNCHER}=local"
        )
    if jobs_per_device is not None and jobs_per_device < 1:
        raise UserError(f"jobs_per_device={jobs_per_device}: must be at least 1")
    settings = OmegaConf.to_container(root.hydra.launcher, resolve=True)
    assert isinstance(settings, dict)
    return Launcher(
        name=name,
        settings={str(key): value for key, value in settings.items() if key != "_target_"},
        jobs_per_device=jobs_per_device,
    )

"""hydra/launcher: where the runs of a sweep are trained. Ours is registered here; submitit's are
Hydra's plugin, where it is installed.

`train.py` launches. Hydra instantiates launchers only from packages named hydra_plugins, and would
compose every run again in its worker; our workers are handed plain configs and know no Hydra.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from resnet_cli.runtime.errors import UserError, did_you_mean

GROUP = "hydra/launcher"
LAUNCHERS = ("basic", "local", "submitit_local", "submitit_slurm")

ConfigStore.instance().store(
    group=GROUP,
    name="local",
    node={"_target_": "resnet_cli.launch.local.sweep"},
    provider="resnet_cli",
)


@dataclass(frozen=True)
class Launcher:
    """What the command line says of launching its sweep."""

    name: str
    settings: dict[str, Any]  # the keys of hydra.launcher
    jobs_per_device: int | None


def is_launchers(override: Override) -> bool:
    """Whether an override says how a sweep is launched, and nothing of its runs."""
    return override.key_or_group == "jobs_per_device" or override.key_or_group.startswith(
        ("hydra.", "hydra/")
    )


def validate_launcher(overrides: Iterable[Override]) -> None:
    """Raises UserError for a launcher there is not, and for several."""
    for override in filter(is_launchers, overrides):
        if override.is_sweep_override() and not override.key_or_group.startswith("hydra.sweeper."):
            raise UserError(
                f"{override.input_line}: a sweep is launched in one way; give one value"
            )
        name = str(override.value())
        if override.key_or_group != GROUP:
            continue
        if name not in LAUNCHERS:
            raise UserError(f"unknown launcher '{name}'{did_you_mean(name, LAUNCHERS)}")
        if name not in GlobalHydra.instance().config_loader().get_group_options(GROUP):
            raise UserError(
                f"{GROUP}={name} needs submitit, which is not installed: pip install "
                "'resnet-cli[slurm]'"
            )


def launcher(root: DictConfig, *, is_sweep: bool) -> Launcher:
    """The launcher of a composed command line.

    Raises UserError where nothing would use what is said of it.
    """
    name, jobs_per_device = str(root.hydra.runtime.choices[GROUP]), root.jobs_per_device
    if name != "basic" and not is_sweep:
        raise UserError(f"{GROUP}={name} is for sweeps, be it of one run; add -m")
    if root.devices == "auto" and name.startswith("submitit"):
        raise UserError(
            "devices=auto: the machine that submits need not be like those that train; say a number"
        )
    if jobs_per_device is not None and name != "local":
        raise UserError(
            f"jobs_per_device={jobs_per_device}: only sweeps share a device; add -m {GROUP}=local"
        )
    if jobs_per_device is not None and jobs_per_device < 1:
        raise UserError(f"jobs_per_device={jobs_per_device}: must be at least 1")
    settings = OmegaConf.to_container(root.hydra.launcher, resolve=True)
    assert isinstance(settings, dict)
    return Launcher(
        name,
        {str(key): value for key, value in settings.items() if key != "_target_"},
        jobs_per_device,
    )

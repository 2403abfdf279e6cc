"""What a composed config comes to: the schedule scaled, the batch shared out among the devices there are."""

import dataclasses

from resnet_cli.distributed.environment import place
from resnet_cli.errors import UserError
from resnet_cli.hardware import choose_device, count_devices
from resnet_cli.schema import Config
from resnet_cli.training.schedule import Rule


def scaled(config: Config) -> Config:
    """The config with `scale` multiplied into its iterations; milestones are fractions and move along, a plateau's evaluations too."""
    schedule = dataclasses.replace(config.schedule, iterations=max(1, round(config.scale * config.schedule.iterations)))
    looks = config.scale if schedule.rule is Rule.plateau else 1  # patience counts evaluations
    return dataclasses.replace(config, schedule=schedule, eval_every=max(1, round(looks * config.eval_every)))


def shared_out(config: Config) -> Config:
    """The config with `devices` a number, and `bn_batch` null where BN sees the whole batch. Raises UserError where shares do not fit."""
    devices = count_ranks(config)
    if config.batch_size % devices:
        fewer = next(number for number in range(devices - 1, 0, -1) if config.batch_size % number == 0)
        raise UserError(f"batch_size={config.batch_size} does not divide among devices={devices}; devices={fewer} would do")
    share = config.batch_size // devices
    if config.sync_bn and config.bn_batch:
        raise UserError(f"sync_bn=true normalises the whole batch together: leave bn_batch={config.bn_batch} out")
    together = config.batch_size if config.sync_bn else config.bn_batch or share
    if not config.sync_bn and share % together:
        raise UserError(f"bn_batch={config.bn_batch}: a device has {share} images of each batch, which must be a multiple of it")
    return dataclasses.replace(config, devices=devices, bn_batch=None if together == config.batch_size else together)


def count_ranks(config: Config) -> int:
    """How many processes share a batch: as many as were started, or as `devices` asks for. Raises UserError."""
    here = place()
    if here is not None:
        if config.devices not in (1, "auto", here.world):
            raise UserError(f"devices={config.devices}, but {here.world} processes were started: leave devices out")
        return here.world
    asked = config.devices
    if asked == "auto":
        device = choose_device(config.device)
        asked = count_devices(device) if device.type == "cuda" else 1  # on one CPU more processes gain nothing
    if not isinstance(asked, int) or asked < 1:
        raise UserError(f"devices={asked}: must be a number above 0, or auto")
    return asked


def refuse_missing(config: Config) -> None:
    """What a run needs of the machine it is to run on. Raises UserError where it is not there."""
    device, here = choose_device(config.device), place()
    there = count_devices(device)
    assert isinstance(config.devices, int)
    if here is not None and here.world != config.devices:
        raise UserError(f"devices={config.devices}, but {here.world} processes were started for this run")
    if here is not None and config.dry_run:
        raise UserError("dry_run=true times one process: call resnet-train itself, with devices=N")
    if here is None and config.devices > there:
        raise UserError(f"devices={config.devices}: there {'is' if there == 1 else 'are'} {there} here")
    if config.sync_bn and config.devices > 1 and device.type == "cpu":
        raise UserError("sync_bn=true needs GPUs: PyTorch's SyncBatchNorm refuses the CPU; devices=1 normalises the whole batch, too")

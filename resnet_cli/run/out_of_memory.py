"""Too little memory: a warning before Linux kills a run on a CPU, advice after a GPU refuses."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

from resnet_cli.config.schema import RunConfig
from resnet_cli.run.build import Parts
from resnet_cli.runtime.console import Console
from resnet_cli.runtime.device import free_memory, is_out_of_memory
from resnet_cli.runtime.distributed import Context
from resnet_cli.runtime.errors import Failed
from resnet_cli.training import memory


@contextmanager
def explain_out_of_memory(
    config: RunConfig, parts: Parts, *, context: Context, console: Console
) -> Iterator[None]:
    """Warns where a batch will not fit; running out of memory inside raises Failed with advice."""
    cpu = parts.device.type == "cpu"
    room = free_memory(parts.device) / (context.sharing if cpu else 1)
    if cpu:  # where too much is not refused: Linux kills the process
        wanted, instead = need(config, parts, context=context, room=room)
        if wanted > room:
            console.warn(
                f"batch_size={config.batch_size} takes about {_gib(wanted)}, and {_gib(room)} are "
                f"free: {instead}"
            )
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        error.__traceback__ = None  # it keeps the step's tensors alive
        console.record(f"ended: out of memory ({error})")
        # trying what would fit runs BN, and BN over all devices would wait for the others
        fits = None if config.sync_bn else need(config, parts, context=context, room=room)[1]
        advice = fits or "try a smaller one"
        raise Failed(f"out of memory with batch_size={config.batch_size}: {advice}") from error


def need(config: RunConfig, parts: Parts, *, context: Context, room: float) -> tuple[float, str]:
    """Bytes that this process's share of a batch takes, and advice on what fits into `room`."""
    share = config.batch_size // context.world
    unit = config.bn_batch if config.bn_batch and config.bn_batch < share else 1
    network, dtype = parts.training.network, parts.training.step.dtype
    try:
        per_image = memory.bytes_per_image(
            network, image_size=parts.dataset.image_size, dtype=dtype
        )
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        per_image = math.inf  # not even four images
    return share * per_image, memory.advice(
        share,
        per_image=per_image,
        room=room,
        activation_checkpointing=config.activation_checkpointing,
        unit=unit,
        devices=context.world,
    )


def _gib(size: float) -> str:
    return f"{size / 2**30:.1f} GiB" if size < math.inf else "more memory than there is"

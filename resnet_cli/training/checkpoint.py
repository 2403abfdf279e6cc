"""Checkpoints: written whole or not at all, read without running code into typed values, the one
before kept.
"""

import dataclasses
import io
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from resnet_cli.data.images import Normalizer
from resnet_cli.evaluation.weights import read, validate_same_shapes, validate_tensors
from resnet_cli.runtime.device import DTYPES
from resnet_cli.runtime.errors import DISK_ERRORS, Failed, UserError
from resnet_cli.runtime.files import write_whole
from resnet_cli.runtime.parse import parse
from resnet_cli.training.progress import Progress, progress_fields

LAST, PREVIOUS, BEST = "last.pt", "previous.pt", "best.pt"

_FORMAT = 1  # of the file; a change that an older version would misread takes the next number
_MARK = "resnet_cli"  # what tells our files from others: `format` is "resnet_cli 1"
# fields of progress that older files lack
_SINCE_LATER = {"plateau", "skipped", "precisions", "unwritten"}
_BUFFER = "momentum_buffer"  # PyTorch's name


@dataclass(frozen=True, kw_only=True)
class Scaler:
    """What a GradScaler keeps; the names are PyTorch's."""

    scale: float
    growth_factor: float
    backoff_factor: float
    growth_interval: int
    _growth_tracker: int


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """How pixels are normalized, in values that were not looked at yet."""

    mean: Tensor
    std: Tensor


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A run at one iteration, all on the CPU. Whoever opens one by `load` has it checked."""

    config: dict[str, Any]  # plain; what it means is for `config.schema` to say
    command: str = ""
    classes: list[str] | None = None  # older files do not name them
    progress: Progress
    network: dict[str, Tensor]
    averages: dict[str, Tensor] | None = None  # of the weights, where a run keeps them (ema=)
    momentum: dict[int, dict[str, Tensor]]  # by parameter, as an optimizer's state_dict has it
    totals: Tensor  # float64 [ranks, 3]: loss, wrong images, good steps
    scaler: Scaler | None = None  # fp16's
    normalizer: Pixels

    @property
    def evaluated(self) -> dict[str, Tensor]:
        """The weights that the run's errors are those of: the averaged ones, if there are any."""
        return self.network if self.averages is None else self.averages

    def to_content(self) -> dict[str, Any]:
        """What the file holds: tensors and plain values."""
        content = {
            one.name: getattr(self, one.name)
            for one in dataclasses.fields(self)
            if getattr(self, one.name) is not None
        }
        return content | {
            "progress": self.progress.to_plain(),
            "scaler": dataclasses.asdict(self.scaler) if self.scaler else {},
            "normalizer": {"mean": self.normalizer.mean, "std": self.normalizer.std},
        }


def save(path: Path, content: Mapping[str, Any], *, keep: Path | None = None) -> None:
    """Writes `content` (tensors and plain values) to `path`; what was there before becomes `keep`.

    A crash at any moment leaves a whole one. Raises Failed where the disk takes no more; the old
    checkpoint stays.
    """
    buffer = io.BytesIO()
    torch.save({"format": f"{_MARK} {_FORMAT}", **content}, buffer)
    try:
        path.parent.mkdir(exist_ok=True)  # a run folder that is gone stays gone
        write_whole(path, buffer.getvalue(), keep=keep)
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        raise Failed(
            f"cannot save {path}: {error.strerror}; what was saved before stands, and the same "
            f"command continues from it ({DISK_ERRORS[error.errno]})"
        ) from error


def load(path: Path) -> Checkpoint:
    """One of our checkpoints. Raises UserError where it is unreadable, somebody else's or does not
    fit.
    """
    content = read(path)
    if not is_ours(content):
        raise UserError(f"checkpoint {path} was not written by resnet-train")
    return parse_content(content, path=path)


def is_ours(content: Any) -> bool:
    """Whether a file's content was written by some version of resnet-train."""
    return isinstance(content, dict) and str(content.get("format"))[:100].startswith(_MARK)


def parse_content(content: dict[str, Any], *, path: Path) -> Checkpoint:
    """The content of a file of ours, checked field by field. Raises UserError."""
    number = re.fullmatch(rf"{_MARK} (\d{{1,9}})", str(content["format"]))
    if number is None or int(number[1]) > _FORMAT:
        raise UserError(
            f"checkpoint {path} was written by a newer version of resnet-train: its format is "
            f"{str(content['format'])[:40]!r}, this version knows {_MARK} {_FORMAT}"
        )
    values = {name: value for name, value in content.items() if name != "format"}
    if values.get("scaler") == {}:
        del values["scaler"]
    if isinstance(values.get("progress"), dict):
        values["progress"] = progress_fields(values["progress"])
    try:
        saved = parse(Checkpoint, values)
        fields = {one.name for one in dataclasses.fields(Progress)}
        if missing := fields - _SINCE_LATER - values["progress"].keys():
            raise ValueError(f"progress.{min(missing)} is missing")
        _validate_progress(saved.progress)
        _validate_totals(saved.totals)
        make_normalizer(saved.normalizer.mean, saved.normalizer.std)
    except ValueError as error:
        raise UserError(f"checkpoint {path} does not fit: {error}") from error
    validate_tensors(saved.network, path=path)
    validate_tensors(saved.averages or {}, path=path)
    return saved


def _validate_progress(now: Progress) -> None:
    """Nothing can have happened after the iteration that a run is at. Raises ValueError."""
    moments = {
        "at_log": now.at_log[0],
        "at_warmup_check": now.at_warmup_check[0],
        "best_iteration": now.best_iteration,
        "warmup_ended_at": now.warmup_ended_at,
    }
    for name, moment in moments.items():
        if moment is not None and moment > now.iteration:
            raise ValueError(f"progress.{name} is {moment}, after iteration {now.iteration}")
    if (now.best_error is None) is not (now.best_iteration is None):
        raise ValueError("progress.best_error and best_iteration do not go together")
    if unknown := set(now.precisions) - set(DTYPES):
        raise ValueError(f"progress.precisions holds {min(unknown)}")


def _validate_totals(totals: Tensor) -> None:
    """Raises ValueError where `totals` are no counts of some ranks."""
    if wrong := _wrong_shape(totals, dtype=torch.float64):
        raise ValueError(f"totals {wrong}")
    if totals.dim() not in (1, 2) or not totals.numel() or totals.shape[-1] != 3:
        raise ValueError(f"totals are of shape {list(totals.shape)}, expected [ranks, 3]")
    if not totals.isfinite().all() or (totals < 0).any():
        raise ValueError("totals are not finite, or negative")


def make_normalizer(mean: Tensor, std: Tensor) -> Normalizer:
    """A Normalizer of what a file holds. Raises ValueError where it is none."""
    for name, part in (("mean", mean), ("std", std)):
        if wrong := _wrong_shape(part, dtype=torch.float32):
            raise ValueError(f"the {name} of the pixels {wrong}")
        *channels, height, width = part.shape if part.dim() == 3 else (0, 0, 0)
        if channels != [3] or height != width:
            raise ValueError(
                f"the {name} of the pixels is of shape {list(part.shape)}, expected [3, 1, 1] or "
                "[3, side, side]"
            )
        if not part.isfinite().all():
            raise ValueError(f"the {name} of the pixels is not finite")
    if not (std > 0).all() or std.shape[-1] not in (1, mean.shape[-1]):
        raise ValueError("the std of the pixels is not above 0, or of another size than the mean")
    return Normalizer(mean, std)


def _wrong_shape(tensor: Tensor, *, dtype: torch.dtype) -> str | None:
    """What keeps a tensor from being a plain one of `dtype`, in words."""
    plain = tensor.layout is torch.strided and not tensor.is_nested and not tensor.is_quantized
    if tensor.dtype is not dtype or not plain or tensor.device.type != "cpu":
        return f"is no plain tensor of {str(dtype).removeprefix('torch.')}"
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        return "claims more bytes than it holds"
    return None


def validate_fits(saved: Checkpoint, network: nn.Module, *, path: Path, name: str) -> None:
    """Whether the network called `name` can go on from a checkpoint: its weights, and momentum for
    each, or for none.

    An optimizer's kernels take the shapes on trust: a smaller buffer would be written past its end.
    Raises UserError naming what does not fit.
    """
    for weights in (saved.network, saved.evaluated):
        validate_same_shapes(network, weights, path=path, name=name)
        for key, value in network.state_dict().items():
            there = weights.get(key)
            if there is None or there.dtype is not value.dtype:
                raise UserError(f"checkpoint {path} is refused: {key!r} is no {value.dtype}")
    parameters = dict(network.named_parameters())
    if saved.momentum and saved.momentum.keys() != set(range(len(parameters))):
        raise UserError(
            f"checkpoint {path} is refused: it holds momentum of {len(saved.momentum):,} parameters"
            f", not of the network's {len(parameters):,}"
        )
    for kept, (key, value) in zip(_in_order(saved.momentum), parameters.items(), strict=False):
        buffer = kept.get(_BUFFER)
        if kept.keys() != {_BUFFER} or buffer is None:
            raise UserError(f"checkpoint {path} is refused: no momentum of {key!r}")
        validate_tensors({f"momentum of {key}": buffer}, path=path)
        if buffer.shape != value.shape or buffer.dtype is not value.dtype:
            raise UserError(
                f"checkpoint {path} is refused: the momentum of {key!r} is "
                f"{list(buffer.shape)} of {buffer.dtype}, the parameter {list(value.shape)}"
            )


def _in_order(momentum: dict[int, dict[str, Tensor]]) -> list[dict[str, Tensor]]:
    return [momentum[number] for number in sorted(momentum)]


def restore_momentum(saved: Checkpoint, optimizer: torch.optim.Optimizer) -> None:
    """Copies the momentum of a checkpoint that fits into an optimizer's own buffers, if it has
    any.
    """
    (group,) = optimizer.param_groups
    for kept, weight in zip(_in_order(saved.momentum), group["params"], strict=False):
        if own := optimizer.state.get(weight):
            assert kept[_BUFFER].shape == weight.shape
            own[_BUFFER].copy_(kept[_BUFFER])


def newest(
    folder: Path,
    *,
    warn: Callable[[str], None],
    validate: Callable[[Checkpoint, Path], None] = lambda _saved, _path: None,
    set_aside: bool = True,
) -> tuple[Checkpoint, Path] | None:
    """The newest checkpoint of `folder` that reads well and its file, or None where there is none
    at all.

    `validate` raises UserError for one that does not fit the run. A broken newest one is set aside
    as `last.pt.broken` (with `set_aside`), the one before serves, and `warn` is told. Raises
    UserError when every one there is broken.
    """
    there = [path for path in (folder / LAST, folder / PREVIOUS) if path.exists()]
    errors = []
    for path in there:
        try:
            saved = load(path)
            validate(saved, path)
        except UserError as error:
            errors.append(str(error))
            continue
        if errors:  # else the next save would put the broken one in the place of the good one
            if set_aside:
                os.replace(folder / LAST, folder / f"{LAST}.broken")
            warn(
                f"{errors[0]}; falling back to {path.name}, iteration {saved.progress.iteration:,}"
            )
        return saved, path
    if errors:
        raise UserError(
            f"{errors[0]}; no checkpoint in {folder} can be read: move the folder away to "
            "start anew"
        )
    return None


def kept_name(iteration: int) -> str:
    """The file of a checkpoint that stays."""
    return f"iteration-{iteration}.pt"


def kept(run: Path) -> list[Path]:
    """The checkpoints of a run folder that stayed, in the order of their iterations."""
    found = {
        int(named[1]): path
        for path in (run / "checkpoints").glob("iteration-*.pt")
        if (named := re.fullmatch(r"iteration-(\d{1,12})", path.stem))
    }
    return [found[iteration] for iteration in sorted(found)]


def resolve(path: Path) -> Path:
    """A checkpoint file from what a user typed: the file itself, or a run folder, which means
    its last.
    """
    if not path.is_dir():
        return path
    for candidate in (path / "checkpoints" / LAST, path / LAST, path / "checkpoints" / PREVIOUS):
        if candidate.is_file():
            return candidate
    raise UserError(f"checkpoint {path}: this folder has no checkpoints/{LAST}")

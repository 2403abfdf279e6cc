"""Files of weights, ours and other projects': opened without running code, matched name by
name, shape by shape, value by value, and written.
"""

import io
import pickle
import re
import tarfile
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from resnet_cli.evaluation.choices import SAFETENSORS, WEIGHTS, validate_export_path
from resnet_cli.runtime.errors import UserError
from resnet_cli.runtime.files import write_whole

# What wrappers put in front of a name, and what other CIFAR code calls our modules.
_PREFIXES = re.compile(r"^(module\.|_orig_mod\.)+")
_RENAMES = ((re.compile(r"^linear\."), "fc."), (re.compile(r"\.shortcut\."), ".downsample."))
_SHOWN = 2  # mismatches of each kind named in an error
_FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
_COUNTER = "num_batches_tracked"  # older files lack it, and nothing reads it


def read(path: Path) -> Any:
    """The content of a checkpoint file, on the CPU: tensors and plain values only (safetensors, or
    `weights_only=True`).

    Raises UserError with the reason for a file that is missing, truncated, altered or that holds
    code.
    """
    try:
        if not path.is_file():
            raise UserError(f"checkpoint {path}: no such file")
        if path.suffix == SAFETENSORS:
            return safetensors.torch.load_file(path)
        with path.open("rb") as file:
            is_zip = file.read(2) == b"PK"
        if is_zip:
            _validate_archive(path)
        elif tarfile.is_tarfile(path):  # whatever it is called: many checkpoints end in .pth.tar
            raise UserError(f"checkpoint {path} is an archive: unpack it, and name what is in it")
        with warnings.catch_warnings(action="ignore"):  # about old pickles; what matters is raised
            return torch.load(path, map_location="cpu", weights_only=True)
    except zipfile.BadZipFile as error:
        raise UserError(f"checkpoint {path} is truncated or damaged ({error})") from error
    except pickle.UnpicklingError as error:
        code = re.search(r"GLOBAL ([\w.]+)", str(error))
        reason = (
            f"it holds code or objects ({code[1]}), which are never loaded"
            if code
            else "it is no file of tensors and plain values"
        )
        raise UserError(f"checkpoint {path} is refused: {reason}") from error
    except UserError:
        raise
    except Exception as error:  # on foreign or cut-off bytes torch.load raises anything at all
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"checkpoint {path} cannot be read: {reason}") from error


def _validate_archive(path: Path) -> None:
    """What torch.save writes: stored files, each once, that match their checksums.

    Raises UserError and what zipfile does.
    """
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
        names = {entry.filename for entry in entries}
        size = sum(entry.file_size for entry in entries)
        # else a small file could unpack to a large one, or hold what no checksum is of
        if not stored or len(names) < len(entries) or size > path.stat().st_size:
            raise UserError(f"checkpoint {path} was not written by torch.save")
        if broken := archive.testzip():
            raise UserError(f"checkpoint {path} is damaged: {broken} does not match its checksum")


def state_dict_of(content: Any, path: Path) -> dict[str, Tensor]:
    """The weights in a file's content, under our names: a plain state_dict, or one under
    `state_dict` or `model`.

    Raises UserError where there is none, or one that holds other things than weights.
    """
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if (
        not isinstance(content, dict)
        or not content
        or not all(isinstance(value, Tensor) for value in content.values())
    ):
        raise UserError(
            f"checkpoint {path}: found no weights in it (neither a state_dict nor one under "
            "'state_dict' or 'model')"
        )
    state = {our_name(str(key)): value for key, value in content.items()}
    if len(state) < len(content):
        raise UserError(f"checkpoint {path} holds two tensors of one name")
    validate_tensors(state, path=path)
    return state


def our_name(key: str) -> str:
    """`module.layer1.0.shortcut.0.weight` -> `layer1.0.downsample.0.weight`."""
    key = _PREFIXES.sub("", key)
    for pattern, ours in _RENAMES:
        key = pattern.sub(ours, key)
    return key


def validate_tensors(tensors: Mapping[str, Tensor], *, path: Path) -> None:
    """Raises UserError that names the first tensor which is none that a network could hold."""
    for name, tensor in tensors.items():
        if wrong := _wrong_with(name, tensor):
            raise UserError(f"checkpoint {path} is refused: {name[:100]!r} {wrong}")


def _wrong_with(name: str, tensor: Tensor) -> str | None:
    """What keeps a tensor from being weights or statistics, in words."""
    if (
        type(tensor) not in (Tensor, nn.Parameter)
        or tensor.layout is not torch.strided
        or tensor.is_quantized
        or tensor.is_nested
        or tensor.device.type != "cpu"
    ):
        return "is no plain tensor with values (but sparse, quantized, nested or empty)"
    claimed, held = tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes()
    if claimed > held:  # expanded: memory for what it claims would be asked for later
        return f"claims {claimed:,} bytes and holds {held:,}"
    if name.endswith(_COUNTER):
        whole = tensor.dtype is torch.int64 and tensor.shape == () and int(tensor) >= 0
        return None if whole else "is no count"
    if tensor.dtype not in _FLOATS:
        return f"is of {str(tensor.dtype).removeprefix('torch.')}, expected floating point"
    if not tensor.float().isfinite().all():
        return "holds values that are not finite"
    if name.endswith("running_var") and (tensor < 0).any():
        return "holds a negative variance"
    return None


def validate_same_shapes(
    network: nn.Module, state: Mapping[str, Tensor], *, path: Path, name: str
) -> None:
    """Raises UserError naming the first keys and shapes that the network called `name` does not
    have.
    """
    ours = {key: value for key, value in network.state_dict().items() if _COUNTER not in key}
    theirs = {key: value for key, value in state.items() if _COUNTER not in key}
    shapes = [
        f"{key} {list(theirs[key].shape)}, expected {list(value.shape)}"
        for key, value in ours.items()
        if key in theirs and theirs[key].shape != value.shape
    ]
    wrong = {
        "missing": [key for key in ours if key not in theirs],
        "unknown": [key for key in theirs if key not in ours],
        "of other shape": shapes,
    }
    if any(wrong.values()):
        told = "; ".join(
            f"{len(keys)} {what} ({_first(keys)})" for what, keys in wrong.items() if keys
        )
        raise UserError(f"checkpoint {path} is not of {name}: {told}")


def load_weights(network: nn.Module, state: Mapping[str, Tensor], *, path: Path, name: str) -> None:
    """Copies `state` into the network called `name`.

    Raises UserError naming the first keys and shapes that do not match.
    """
    validate_same_shapes(network, state, path=path, name=name)
    theirs = {key: value for key, value in state.items() if _COUNTER not in key}
    network.load_state_dict(theirs, strict=False)


def _first(keys: list[str]) -> str:
    """The first few, and that there are more."""
    return ", ".join([key[:100] for key in keys[:_SHOWN]] + ["..."] * (len(keys) > _SHOWN))


def export(
    network: nn.Module,
    path: Path,
    *,
    header: Mapping[str, str] | None = None,
    beside: Mapping[str, Tensor] | None = None,
) -> None:
    """Writes the weights under torchvision's names, whole or not at all: `.safetensors` or `.pth`,
    by the suffix.

    `num_batches_tracked` goes along, since torchvision's networks ask for it. A .safetensors also
    takes a `header` of words and tensors that lie `beside` the weights. Raises UserError for
    another suffix.
    """
    validate_export_path(path, WEIGHTS)
    # channels_last is how we compute, not what others expect of a file; safetensors refuses it
    state = {
        our_name(name): value.detach().cpu().contiguous()
        for name, value in network.state_dict().items()
    }
    if path.suffix == SAFETENSORS:
        content = safetensors.torch.save(
            state | dict(beside or {}), metadata={"format": "pt", **(header or {})}
        )
    else:
        buffer = io.BytesIO()
        torch.save(state, buffer)
        content = buffer.getvalue()
    write_whole(path, content)

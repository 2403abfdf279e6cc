"""Files of weights, ours and other projects': opened without running code, matched name by
name, shape by shape, and written.
"""

import io
import pickle
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from resnet_cli.runtime.errors import UserError
from resnet_cli.runtime.files import write_whole

# What wrappers put in front of a name, and what other CIFAR code calls our modules.
PREFIXES = re.compile(r"^(module\.|_orig_mod\.)+")
RENAMES = ((re.compile(r"^linear\."), "fc."), (re.compile(r"\.shortcut\."), ".downsample."))
SHOWN = 2  # mismatches of each kind named in an error

SAFETENSORS, PICKLED = ".safetensors", ".pth"  # the suffixes of exported files


def read(path: Path) -> Any:
    """The content of a checkpoint file, on the CPU: tensors and plain values only (safetensors, or
    `weights_only=True`).

    Raises UserError with the reason for a file that is missing, truncated, altered or that holds
    code.
    """
    if not path.is_file():
        raise UserError(f"checkpoint {path}: no such file")
    try:
        if path.suffix == SAFETENSORS:
            return safetensors.torch.load_file(path)
        with path.open("rb") as file:
            is_zip = file.read(2) == b"PK"
        if is_zip:
            with zipfile.ZipFile(path) as archive:
                broken = archive.testzip()
            if broken:
                raise UserError(
                    f"checkpoint {path} is damaged: {broken} does not match its checksum"
                )
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


def state_dict_of(content: Any, path: Path) -> dict[str, Tensor]:
    """The weights in a file's content, under our names: a plain state_dict, or one under
    `state_dict` or `model`.
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
    return {our_name(str(key)): value for key, value in content.items()}


def our_name(key: str) -> str:
    """`module.layer1.0.shortcut.0.weight` -> `layer1.0.downsample.0.weight`."""
    key = PREFIXES.sub("", key)
    for pattern, ours in RENAMES:
        key = pattern.sub(ours, key)
    return key


def load_weights(network: nn.Module, state: dict[str, Tensor], *, path: Path, name: str) -> None:
    """Copies `state` into the network called `name`.

    Raises UserError naming the first keys and shapes that do not match.
    """
    optional = "num_batches_tracked"  # older files lack it, and nothing reads it
    ours = {key: value for key, value in network.state_dict().items() if optional not in key}
    theirs = {key: value for key, value in state.items() if optional not in key}
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
            f"{len(keys)} {what} ({first(keys)})" for what, keys in wrong.items() if keys
        )
        raise UserError(f"checkpoint {path} is not of {name}: {told}")
    network.load_state_dict(theirs, strict=False)


def first(keys: list[str]) -> str:
    """The first few, and that there are more."""
    return ", ".join(keys[:SHOWN] + ["..."] * (len(keys) > SHOWN))


def export(network: nn.Module, path: Path) -> None:
    """Writes the weights under torchvision's names, whole or not at all: `.safetensors` or `.pth`,
    by the suffix.

    `num_batches_tracked` goes along, since torchvision's networks ask for it. Raises UserError for
    another suffix.
    """
    validate_export_path(path)
    # channels_last is how we compute, not what others expect of a file; safetensors refuses it
    state = {
        our_name(name): value.detach().cpu().contiguous()
        for name, value in network.state_dict().items()
    }
    if path.suffix == SAFETENSORS:
        content = safetensors.torch.save(state, metadata={"format": "pt"})
    else:
        buffer = io.BytesIO()
        torch.save(state, buffer)
        content = buffer.getvalue()
    write_whole(path, content)


def validate_export_path(path: Path) -> None:
    """Refuses what `export` could not write, before anything is computed. Raises UserError."""
    if path.suffix not in (SAFETENSORS, PICKLED):
        raise UserError(f"--export {path}: name a file that ends in {SAFETENSORS} or {PICKLED}")
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise UserError(f"--export {path}: name a file in a folder that exists")

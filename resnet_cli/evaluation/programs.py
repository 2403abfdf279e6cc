"""A network as a program for other software: ONNX, or PyTorch's own exported form.

Pixels go in and probabilities come out, so that nobody has to know how they were normalized.
"""

import io
import json
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from resnet_cli.data.images import Normalizer
from resnet_cli.evaluation.choices import ONNX
from resnet_cli.models.fold_bn import FoldedBN
from resnet_cli.models.resnet import Network
from resnet_cli.runtime.errors import UserError
from resnet_cli.runtime.files import write_whole

_INPUT, _OUTPUT = "images", "probabilities"


class _Program(nn.Module):
    """uint8 RGB [N, 3, H, W] -> float32 softmax scores [N, classes]."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: Network, normalizer: Normalizer) -> None:
        super().__init__()
        self.network = FoldedBN(network).network.to(memory_format=torch.contiguous_format)
        self.register_buffer("mean", normalizer.mean)
        self.register_buffer("std", normalizer.std)

    def forward(self, images: Tensor) -> Tensor:
        pixels = (images.float() / 255 - self.mean) / self.std
        return self.network(pixels).softmax(dim=1)


def write_program(
    network: Network,
    normalizer: Normalizer,
    path: Path,
    *,
    image_size: int,
    classes: Sequence[str],
) -> None:
    """Writes a network on the CPU in fp32, whole or not at all: ONNX or .pt2, by the suffix.

    It takes any number of images of `image_size`; the names of its classes go along. Raises
    UserError where the packages that write ONNX are missing.
    """
    program = _Program(network.float(), normalizer).eval()
    example = torch.zeros(2, 3, image_size, image_size, dtype=torch.uint8)
    about = {
        "classes": json.dumps(list(classes)),
        "input": f"uint8 RGB [N, 3, {image_size}, {image_size}]",
    }
    write = _onnx if path.suffix == ONNX else _exported
    with warnings.catch_warnings(action="ignore"):  # of versions and deprecations, not of ours
        write_whole(path, write(program, example, about))


def _onnx(program: nn.Module, example: Tensor, about: dict[str, str]) -> bytes:
    try:
        import onnx
        import onnxscript  # noqa: F401  torch.onnx asks for it
    except ImportError as error:
        raise UserError(
            f"--export: writing {ONNX} needs onnx and onnxscript: pip install 'resnet-cli[onnx]'"
        ) from error
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    made = torch.onnx.export(
        program,
        (example,),
        dynamo=True,
        verbose=False,
        input_names=[_INPUT],
        output_names=[_OUTPUT],
        dynamic_shapes=({0: torch.export.Dim("N")},),
    )
    assert made is not None
    model = made.model_proto
    for key, value in about.items():
        model.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _exported(program: nn.Module, example: Tensor, about: dict[str, str]) -> bytes:
    made = torch.export.export(program, (example,), dynamic_shapes=({0: torch.export.Dim("N")},))
    buffer = io.BytesIO()
    torch.export.save(made, buffer, extra_files=dict(about))
    return buffer.getvalue()

"""resnet-info: the named networks, what they cost, and what the paper measured."""

import argparse
import dataclasses
import json
import sys
from typing import Any

from resnet_cli import __version__
from resnet_cli.models import complexity
from resnet_cli.models.architecture import Architecture, Block, Stem, StrideIn
from resnet_cli.models.zoo import NETWORKS, did_you_mean_network
from resnet_cli.paper import published
from resnet_cli.runtime.errors import UserError, run_command

_EXAMPLES = """examples:
  resnet-info                          every network of the paper
  resnet-info resnet20 plain20         two of them
  resnet-info resnet50 --stride-in 3x3 as torchvision has it: 4.1e9 multiply-adds
  resnet-info --json | jq '.[].parameters'
"""


def _describe(name: str, net: Architecture) -> dict[str, Any]:
    """One row: plain values, errors in percent."""
    cifar = net.stem is Stem.cifar
    # with the stride elsewhere it is another network
    papers = net.block is Block.basic or net.stride_in is StrideIn.first
    ten_crop = published.IMAGENET_TEN_CROP_ERROR.get(net.name if papers else "", (None, None))
    return {
        "name": name,
        "layers": net.depth,
        "shortcut": str(net.shortcut),
        "dataset": "cifar10" if cifar else "imagenet",
        "input": net.image_size,
        "stride_in": str(net.stride_in) if net.block is Block.bottleneck else None,
        "parameters": complexity.parameters(net),
        "multiply_adds": complexity.multiply_adds(net, image_size=net.image_size),
        "paper_top1_error": published.CIFAR10_TEST_ERROR.get(net.name) if cifar else ten_crop[0],
        "paper_top5_error": None if cifar else ten_crop[1],
    }


def _table(rows: list[dict[str, Any]]) -> str:
    """The rows for a person to read."""
    lines = [
        f"{'network':<16} {'layers':>6} {'shortcut':>8} {'input':>9} {'parameters':>11} "
        f"{'multiply-adds':>13}  paper's error"
    ]
    for row in rows:
        errors = [
            f"{row[key]:.2f}"
            for key in ("paper_top1_error", "paper_top5_error")
            if row[key] is not None
        ]
        published = " / ".join(errors) + (" %" if errors else "-")
        millions = row["multiply_adds"] / 1e6
        size = f"{row['input']}x{row['input']}"
        lines.append(
            f"{row['name']:<16} {row['layers']:>6} {row['shortcut']:>8} {size:>9} "
            f"{row['parameters']:>11,} {millions:>13,.1f}  {published}"
        )
    notes = [
        "",
        "Multiply-adds (the paper's FLOPs) in millions, for one image. Bottlenecks of "
        "ResNet-50, 101 and 152 have the paper's stride,",
        "in the 1x1; --stride-in 3x3 shows torchvision's.",
        "Errors: CIFAR-10 test (Table 6; the plain nets' are only drawn, in Fig. 6);",
        "ImageNet validation, ten-crop, top-1 / top-5 (Tables 2 and 3).",
    ]
    return "\n".join(lines + notes)


def main_checked(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        "resnet-info",
        description=f"{__doc__}\n\n{_EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "models", nargs="*", metavar="MODEL", help="names of networks (default: all)"
    )
    parser.add_argument(
        "--stride-in",
        choices=[str(one) for one in StrideIn],
        help="where bottlenecks halve the map (default: their own)",
    )
    parser.add_argument("--json", action="store_true", help="a JSON list instead of the table")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    options = parser.parse_args(arguments)
    for name in options.models:
        if name not in NETWORKS:
            raise UserError(f"unknown network '{name}'{did_you_mean_network(name)}")
    networks = {name: NETWORKS[name] for name in options.models or NETWORKS}
    if options.stride_in:
        networks = {
            name: dataclasses.replace(net, stride_in=StrideIn(options.stride_in))
            for name, net in networks.items()
        }
    rows = [_describe(name, net) for name, net in networks.items()]
    print(json.dumps(rows, indent=2) if options.json else _table(rows))
    return 0


def main() -> int:
    return run_command("resnet-info", lambda: main_checked(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())

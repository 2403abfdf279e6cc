"""resnet-info: the named networks, what they cost, and what the paper measured."""

import argparse
import dataclasses
import json
import sys
import textwrap
from pathlib import Path
from typing import Any

from resnet_cli import __version__
from resnet_cli.models import complexity
from resnet_cli.models.architecture import Architecture, Block, Shortcut, Stem, StrideIn
from resnet_cli.models.comparison import AnyNetwork, Comparison
from resnet_cli.models.zoo import COMPARISONS, NETWORKS, did_you_mean_network
from resnet_cli.paper import figure3, published, table1
from resnet_cli.runtime.errors import UserError, run_command
from resnet_cli.runtime.files import write_whole

_EXAMPLES = """examples:
  resnet-info                          every network
  resnet-info resnet20 plain20         two of them
  resnet-info resnet34 --shortcut B    with projections where the dimensions change
  resnet-info resnet50 --stride-in 3x3 as torchvision has it: 4.1e9 multiply-adds
  resnet-info resnet34 --layers        Table 1's rows, and what each costs
  resnet-info --block                  Fig. 5: what a bottleneck saves
  resnet-info resnet34 --draw FILE.svg Fig. 3: VGG-19, plain and residual
  resnet-info --plot FILE.png          published errors against multiply-adds and parameters
  resnet-info --json | jq '.[].parameters'
"""

_EVERY: dict[str, AnyNetwork] = {**NETWORKS, **COMPARISONS}
_LAYERS_NOTE = """\
Parameters with those of BN. Multiply-adds of convolutions and fc for one image, of all layers of a
row and of each. Map: the output of the layers, before BN, for one image in float32."""


def _describe(name: str, net: AnyNetwork) -> dict[str, Any]:
    """One row: plain values, errors in percent."""
    cifar = net.stem is Stem.cifar
    ours = net if isinstance(net, Architecture) else None
    bottlenecks = ours is not None and ours.block is Block.bottleneck
    # with the stride elsewhere it is another network
    papers = ours is not None and (not bottlenecks or ours.stride_in is StrideIn.first)
    ten_crop = published.IMAGENET_TEN_CROP_ERROR.get(net.name if papers else "", (None, None))
    return {
        "name": name,
        "layers": net.depth,
        "shortcut": str(net.shortcut),
        "dataset": "cifar10" if cifar else "imagenet",
        "input": net.image_size,
        "stride_in": str(ours.stride_in) if ours and bottlenecks else None,
        "parameters": complexity.parameters(net),
        "multiply_adds": complexity.multiply_adds(net, image_size=net.image_size),
        "paper_top1_error": published.CIFAR10_TEST_ERROR.get(net.name) if cifar else ten_crop[0],
        "paper_top5_error": None if cifar else ten_crop[1],
        "later_test_error": published.LATER_CIFAR10_TEST_ERROR.get(net.name) if cifar else None,
        "deviation": net.deviation if isinstance(net, Comparison) else None,
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
        if row["later_test_error"] is not None and not errors:
            errors = [f"{row['later_test_error']:.2f} % *"]
        elif errors:
            errors[-1] += " %"
        published = " / ".join(errors) or "-"
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
        "ImageNet validation, ten-crop, top-1 / top-5 (Tables 2 and 3). * of other papers:",
        "pre-activation, 164 and 1001 layers of He et al. 2016, Wide ResNets of Zagoruyko and "
        "Komodakis 2016.",
    ]
    deviations: dict[str, list[str]] = {}
    for row in rows:
        if row["deviation"] is not None:
            deviations.setdefault(row["deviation"], []).append(row["name"])
    told = [f"{', '.join(names)}: {deviation}." for deviation, names in deviations.items()]
    wrapped = [line for one in told for line in textwrap.wrap(one, 120)]
    return "\n".join([*lines, *notes, *(["", *wrapped] if wrapped else [])])


def _layers(networks: dict[str, AnyNetwork], *, as_json: bool) -> str:
    """What --layers prints: Table 1 of each network."""
    found = {name: table1.rows(net, image_size=net.image_size) for name, net in networks.items()}
    if as_json:
        return json.dumps({name: table1.as_plain(rows) for name, rows in found.items()}, indent=2)
    tables = [f"{_heading(name, networks[name])}\n{table1.as_text(found[name])}" for name in found]
    return "\n\n".join([*tables, _LAYERS_NOTE])


def _heading(name: str, net: AnyNetwork) -> str:
    shortcut = "" if net.shortcut is Shortcut.none else f", shortcut {net.shortcut}"
    return f"{name}: {net.depth} layers{shortcut}, images of {net.image_size}x{net.image_size}"


def _draw(path: Path, networks: dict[str, AnyNetwork], *, asked: bool) -> None:
    """What --draw writes. Raises UserError."""
    if path.suffix != ".svg" or not path.absolute().parent.is_dir():
        raise UserError(f"--draw {path}: name a file in a folder that exists, ending in .svg")
    if asked and len(networks) > 1:
        raise UserError(f"--draw {path}: one network at a time, here are {len(networks)}")
    name, net = next(iter(networks.items())) if asked else ("resnet34", networks["resnet34"])
    if isinstance(net, Comparison):
        raise UserError(f"--draw {path}: {name} is not of the paper's stages and blocks")
    write_whole(path, figure3.as_svg(net))


def _changed(name: str, net: AnyNetwork, options: argparse.Namespace) -> AnyNetwork:
    """The network with what --shortcut and --stride-in set. Raises UserError."""
    if isinstance(net, Comparison):
        if (options.shortcut or options.stride_in) and options.models:
            raise UserError(f"--shortcut and --stride-in: {name} has neither")
        return net
    if options.stride_in:
        net = dataclasses.replace(net, stride_in=StrideIn(options.stride_in))
    if options.shortcut and net.shortcut is not Shortcut.none:
        return dataclasses.replace(net, shortcut=Shortcut(options.shortcut))
    if options.shortcut and options.models:
        raise UserError(f"--shortcut {options.shortcut}: {name} is plain, without shortcuts")
    return net


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "resnet-info",
        description=f"{__doc__}\n\n{_EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "models", nargs="*", metavar="MODEL", help="names of networks (default: all)"
    )
    parser.add_argument(
        "--shortcut",
        choices=[str(one) for one in Shortcut if one is not Shortcut.none],
        help="the shortcuts of the residual networks (default: their own)",
    )
    parser.add_argument(
        "--stride-in",
        choices=[str(one) for one in StrideIn],
        help="where bottlenecks halve the map (default: their own)",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--layers", action="store_true", help="each network's rows of Table 1")
    what.add_argument("--block", action="store_true", help="what a bottleneck saves (Fig. 5)")
    what.add_argument(
        "--draw", type=Path, metavar="FILE", help="draw a network as SVG (default: resnet34)"
    )
    what.add_argument(
        "--plot",
        type=Path,
        metavar="FILE",
        help="draw published errors against costs: PNG, SVG or PDF, by the suffix",
    )
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    options = parser.parse_args(arguments)
    for name in options.models:
        if name not in _EVERY:
            raise UserError(f"unknown network '{name}'{did_you_mean_network(name)}")
    for flag in ("block", "plot"):
        if getattr(options, flag) and options.models:
            raise UserError(f"--{flag} is of all networks: leave {options.models[0]} out")
    for flag in ("block", "draw", "plot"):
        if getattr(options, flag) and options.json:
            raise UserError(f"--json does not go with --{flag}")
    return options


def main_checked(arguments: list[str]) -> int:
    options = _parse(arguments)
    networks = {name: _changed(name, _EVERY[name], options) for name in options.models or _EVERY}
    if options.block:
        from resnet_cli.paper import figure5  # imports PyTorch, which takes seconds

        print(figure5.as_text())
    elif options.plot:
        from resnet_cli.paper import tradeoff  # imports matplotlib

        tradeoff.draw(options.plot)
    elif options.draw:
        _draw(options.draw, networks, asked=bool(options.models))
    elif options.layers:
        print(_layers(networks, as_json=options.json))
    else:
        rows = [_describe(name, net) for name, net in networks.items()]
        print(json.dumps(rows, indent=2) if options.json else _table(rows))
    return 0


def main() -> int:
    return run_command("resnet-info", lambda: main_checked(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())

"""resnet-analyze: why residual networks train, shown on checkpoints of one's own."""

import argparse
import sys
from pathlib import Path

from resnet_cli import __version__
from resnet_cli.runtime.errors import UserError, run_command

_EXAMPLES = """examples:
  resnet-analyze lesion --ckpt runs/cifar10/plain56/seed0 runs/cifar10/resnet56-A/seed0
      the error after each block is deleted, k random ones are, blocks change places
  resnet-analyze paths --ckpt runs/cifar10/resnet56-A/seed0
      how many paths of which length, and along which the gradient comes
  resnet-analyze gradients --ckpt runs/cifar10/plain56/seed0 runs/cifar10/resnet56-A/seed0
      the gradient at every block, with initial weights, along training and after it
  resnet-analyze identity --ckpt runs/cifar10/plain20/seed0 runs/cifar10/plain56/seed0
      a deeper network built from a trained one by identity layers, beside the one trained
  resnet-analyze landscape --ckpt runs/cifar10/plain56/seed0 --grid 21 --images 2000
      the loss around the weights; the same command continues one that was stopped

Each writes a figure (PNG) and its numbers (CSV) into --out, for reading and for resnet-report.
Checkpoints are run folders or files, as for resnet-eval; overrides (device=cpu, dataset.root=DIR,
precision=fp32) may follow. The data is looked for in $RESNET_DATA, else in data/.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "resnet-analyze",
        description=f"{__doc__}\n\n{_EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    lesion = _command(commands, "lesion", "errors after blocks were deleted or exchanged", None)
    lesion.add_argument(
        "--k",
        nargs="*",
        metavar="K",
        help="so many random blocks deleted, pairs exchanged (default: 1 2 4 8 16, as far as there "
        "are blocks; --k alone: none)",
    )
    lesion.add_argument(
        "--draws", type=int, default=5, metavar="N", help="random choices for each k (default 5)"
    )
    _add_seed(lesion, "of the random choices")
    paths = _command(commands, "paths", "paths by length, and the gradient along them", 16)
    paths.add_argument(
        "--paths", type=int, default=30, metavar="N", help="sampled of each length (default 30)"
    )
    _add_seed(paths, "of the sampled paths")
    _command(commands, "gradients", "the gradient at every block, along training", 128)
    identity = _command(
        commands, "identity", "a plain network made deeper by identity layers", 2000
    )
    identity.add_argument(
        "--depth", type=int, default=56, metavar="LAYERS", help="of the deeper one (default 56)"
    )
    landscape = _command(commands, "landscape", "the loss around the weights", 2000)
    landscape.add_argument(
        "--grid", type=int, default=21, metavar="N", help="N x N points (default 21)"
    )
    landscape.add_argument(
        "--range",
        type=float,
        default=1.0,
        metavar="R",
        help="from -R to R along both directions, in lengths of the filters (default 1)",
    )
    landscape.add_argument(
        "--hours",
        type=float,
        default=12.0,
        metavar="H",
        help="refuse what would take longer, going by the first point (default 12)",
    )
    _add_seed(landscape, "of the two directions")
    return parser


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    about: str,
    images: int | None,
) -> argparse.ArgumentParser:
    """What all of them take; `images`: how many by default."""
    found = commands.add_parser(name, help=about, description=about)
    found.add_argument(
        "--ckpt",
        nargs="+",
        required=True,
        metavar="RUN_OR_FILE",
        help="run folders or checkpoint files",
    )
    found.add_argument(
        "--out", type=Path, default=Path("analysis"), metavar="DIR", help="default: analysis"
    )
    found.add_argument(
        "--images",
        type=int,
        default=images,
        metavar="N",
        help=f"how many (default: {images or 'all'})",
    )
    found.add_argument("overrides", nargs="*", metavar="key=value", help="as for resnet-eval")
    return found


def _add_seed(command: argparse.ArgumentParser, what: str) -> None:
    command.add_argument("--seed", type=int, default=0, metavar="N", help=f"{what} (default 0)")


def _read(options: argparse.Namespace) -> tuple[list[Path], list[str]]:
    """Checkpoints and overrides; makes --out. Raises UserError."""
    from resnet_cli.config.words import paths_and_overrides, quote_paths

    paths, overrides = paths_and_overrides(options.ckpt)
    overrides += quote_paths(options.overrides)
    if getattr(options, "k", None) is not None:  # it, too, swallows the overrides behind it
        overrides += quote_paths([word for word in options.k if "=" in word])
        options.k = [_whole("--k", word) for word in options.k if "=" not in word]
    if not paths:
        raise UserError("--ckpt: name a run folder or a checkpoint file")
    for name in ("images", "draws", "grid", "paths"):
        if (value := getattr(options, name, None)) is not None and value < 1:
            raise UserError(f"--{name} {value}: at least 1")
    if options.what == "landscape" and options.grid < 2:
        raise UserError(f"--grid {options.grid}: at least 2")
    if options.what == "landscape" and not 0 < options.range < 1e6:
        raise UserError(f"--range {options.range:g}: a length above 0, such as 1")
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"--out {options.out}: cannot make this folder: {error.strerror}"
        ) from error
    return paths, overrides


def _whole(flag: str, word: str) -> int:
    if not word.isdecimal() or len(word) > 9:
        raise UserError(f"{flag} {word}: expected whole numbers, as in {flag} 1 2 4")
    return int(word)


def main_checked(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    paths, overrides = _read(options)
    from resnet_cli.analysis import commands  # not at the top: it wakes PyTorch

    return commands.run(options, paths, overrides)


def main() -> int:
    return run_command("resnet-analyze", lambda: main_checked(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())

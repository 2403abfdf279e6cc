"""resnet-eval: the errors of a checkpoint, ours or another project's, or of an ensemble."""

import argparse
import sys
from pathlib import Path

from resnet_cli import __version__
from resnet_cli.config.words import paths_and_overrides, quote_paths
from resnet_cli.evaluation.choices import PROGRAMS, WEIGHTS, Views, validate_export_path
from resnet_cli.runtime.errors import UserError, run_command

_EXAMPLES = """examples:
  resnet-eval --ckpt runs/cifar10/resnet56-A/seed0
      the last iterate of a run
  resnet-eval --ckpt runs/cifar10/resnet56-A/seed0/checkpoints/best.pt
  resnet-eval --ckpt RUN1 RUN2 RUN3               an ensemble: softmax scores averaged
  resnet-eval --ckpt RUN --views ten              ImageNet: ten crops (Tables 2 and 3)
  resnet-eval --ckpt RUN --views dense --scales 224 256 384 480 640
      whole images, several scales (Table 4)
  resnet-eval --ckpt RUN --bn population
      BN statistics measured over the training data, as the paper's
  resnet-eval --ckpt RUN --predictions a.npz
      keep the scores; --average a.npz b.npz makes an ensemble of them
  resnet-eval --ckpt RUN --images my_photos
      the five likeliest classes of each picture in a folder
  resnet-eval --ckpt RUN --per-class errors
      errors of each class and the confusion matrix, into errors/
  resnet-eval --ckpt RUN --export resnet34.onnx
      a program for other software: pixels in, probabilities out (.onnx or .pt2); needs no data
  resnet-eval --ckpt RUN --export resnet34.pth
      weights in torchvision's naming (.pth or .safetensors)
  resnet-eval --ckpt x.th model=resnet20 model.zero_padding=both dataset.normalization=imagenet
      akamaster's ResNet-20, whose shortcuts pad zeros on both sides
  resnet-eval --ckpt resnet50.pth model=resnet50 model.stride_in=3x3 dataset.normalization=imagenet
      torchvision's ResNet-50

The data is looked for in $RESNET_DATA (for photographs in its imagenet/), or where dataset.root=
says; where a checkpoint's own run had it is not opened. A .safetensors that --export wrote of a run
of ours needs nothing else, like the run.
A file of another project holds weights alone, so model=, how its pixels were normalised, and where
its shortcuts' zeros are if not behind, must be said. Ours know all that. Files of weights, theirs
and ours, are measured in fp32, which every machine has, and so is a run for --export; other runs in
the precision of their config. precision= says otherwise.
The last line is JSON: top1_error and top5_error (null for at most five classes) in percent, and
count.
"""


# Flags that only make sense where checkpoints are measured; --average and --images refuse them.
_MEASURING = ("split", "views", "scales", "bn", "bn_images", "per_class", "export")
# What a program is written without.
_NOT_EXPORTING = (*_MEASURING[:-1], "predictions", "images", "json")


def _parse(arguments: list[str]) -> tuple[argparse.Namespace, list[Path], list[str]]:
    """Options, checkpoints and overrides. Raises UserError."""
    parser = argparse.ArgumentParser(
        "resnet-eval",
        description=f"{__doc__}\n\n{_EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--ckpt",
        nargs="+",
        metavar="RUN_OR_FILE",
        help="run folders or checkpoint files; several are an ensemble",
    )
    what.add_argument(
        "--average",
        nargs="+",
        type=Path,
        metavar="NPZ",
        help="the ensemble of scores that --predictions kept",
    )
    parser.add_argument(
        "--split",
        choices=("test", "val", "train"),
        help="which images (default: test; for ImageNet val)",
    )
    parser.add_argument(
        "--views",
        choices=[str(one) for one in Views],
        help="of photographs (default: single, the centre crop)",
    )
    parser.add_argument(
        "--scales",
        nargs="+",
        metavar="SIDE",
        help="shorter sides of --views dense (default: the paper's five)",
    )
    parser.add_argument(
        "--bn",
        choices=("running", "population"),
        help="which BN statistics (default: the running averages)",
    )
    parser.add_argument(
        "--bn-images",
        type=int,
        metavar="N",
        help="with --bn population: from so many training images (default: all)",
    )
    parser.add_argument(
        "--predictions",
        type=Path,
        metavar="FILE",
        help="keep every image's scores in FILE.npz, or its likeliest class in FILE.csv",
    )
    parser.add_argument(
        "--per-class",
        type=Path,
        metavar="DIR",
        help="write the errors of each class and the confusion matrix (CSV, PNG) into DIR",
    )
    parser.add_argument(
        "--images",
        type=Path,
        metavar="DIR",
        help="instead: the likeliest classes of one's own pictures",
    )
    parser.add_argument(
        "--export",
        type=Path,
        metavar="FILE",
        help="write the weights in torchvision's naming (.pth or .safetensors), or, without "
        "measuring, a program (.onnx or .pt2)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything to FILE")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="as for resnet-train")
    options = parser.parse_args(arguments)
    paths, overrides = paths_and_overrides(options.ckpt or [])
    overrides += quote_paths(options.overrides)
    if options.scales:  # it, too, swallows the overrides behind it
        overrides += quote_paths([word for word in options.scales if "=" in word])
        options.scales = [_read_side(word) for word in options.scales if "=" not in word]
    _validate(options, paths, overrides)
    return options, paths, overrides


def _validate(options: argparse.Namespace, paths: list[Path], overrides: list[str]) -> None:
    """Raises UserError for what does not go together, before hours of measuring."""
    if options.ckpt and not paths:
        raise UserError("--ckpt: name a run folder or a checkpoint file")
    for instead, refused in (
        ("--average", [*_MEASURING, "images"] if options.average else []),
        ("--images", _MEASURING if options.images else []),
        (f"--export {options.export}", _NOT_EXPORTING if _is_program(options.export) else []),
    ):
        for name in refused:
            if getattr(options, name) is not None:
                raise UserError(f"--{name.replace('_', '-')} does not go with {instead}")
    if options.predictions and (options.average or options.images):
        kind = ".npz" if options.average else ".csv"
        if options.predictions.suffix != kind:
            flag = "--average" if options.average else "--images"
            raise UserError(f"--predictions {options.predictions}: {flag} writes a {kind} file")
    folder = options.per_class
    if folder and (not folder.absolute().parent.is_dir() or folder.is_file()):
        raise UserError(f"--per-class {folder}: name a folder, in a folder that exists")
    if options.average and overrides:
        raise UserError(f"{overrides[0]} does not go with --average: the scores are what they are")
    for name in ("json", "predictions", "export"):
        path = getattr(options, name)
        if path and (path.is_dir() or not path.absolute().parent.is_dir()):
            raise UserError(f"--{name} {path}: name a file in a folder that exists")
    if options.bn_images is not None and (options.bn_images < 1 or options.bn != "population"):
        raise UserError(
            f"--bn-images {options.bn_images}: a number of images, at least 1, for --bn population"
        )
    if options.export:
        validate_export_path(options.export, WEIGHTS + PROGRAMS)
        if len(paths) > 1:
            raise UserError(f"--export: one network goes into one file, here are {len(paths)}")


def _is_program(path: Path | None) -> bool:
    return path is not None and path.suffix in PROGRAMS


def _read_side(word: str) -> int:
    if not word.isdigit():
        raise UserError(f"--scales {word}: expected pixels, as in --scales 224 256 384")
    return int(word)


def main_checked(arguments: list[str]) -> int:
    options, paths, overrides = _parse(arguments)
    from resnet_cli.analysis import answers  # not at the top: it wakes PyTorch

    return answers.run(options, paths, overrides)


def main() -> int:
    return run_command("resnet-eval", lambda: main_checked(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())

"""resnet-eval: the errors of a checkpoint, ours or another project's, or of several as an ensemble."""

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from resnet_cli import config as hydra_side
from resnet_cli.console import Console, rows
from resnet_cli.data.datasets import OnError
from resnet_cli.data.images import Dataset, Split
from resnet_cli.data.pictures import pictures
from resnet_cli.data.samples import Samples
from resnet_cli.data.streaming import BadImages
from resnet_cli.errors import DataError, UserError, run_command
from resnet_cli.evaluation import predictions
from resnet_cli.evaluation.evaluator import ErrorCount, Errors
from resnet_cli.evaluation.predictions import Predictions
from resnet_cli.evaluation.protocol import ImageTest, PhotographTest, Protocol, Scored, Test, in_proportion
from resnet_cli.evaluation.protocol import Subject as Tested
from resnet_cli.evaluation.statistics import population_statistics
from resnet_cli.evaluation.topk import names_of, top
from resnet_cli.evaluation.views import Views
from resnet_cli.evaluation.weights import check_export, export
from resnet_cli.hardware import choose_device, choose_dtype, describe, make_exact, precision_name
from resnet_cli.parts import choose_workers, load_dataset, make_loader
from resnet_cli.subjects import Subject, open_subject, refuse_mixture, refuse_other_classes

EXAMPLES = """examples:
  resnet-eval --ckpt runs/cifar10/resnet56-A/seed0               the last iterate of a run
  resnet-eval --ckpt runs/cifar10/resnet56-A/seed0/checkpoints/best.pt
  resnet-eval --ckpt RUN1 RUN2 RUN3                              an ensemble: softmax scores averaged
  resnet-eval --ckpt RUN --views ten                             ImageNet: ten crops (Tables 2 and 3)
  resnet-eval --ckpt RUN --views dense --scales 224 256 384 480 640   whole images, several scales (Table 4)
  resnet-eval --ckpt RUN --bn population                         BN statistics measured over the training data, as the paper's
  resnet-eval --ckpt RUN --predictions a.npz                     keep the scores; --average a.npz b.npz makes an ensemble of them
  resnet-eval --ckpt RUN --images my_photos                      the five likeliest classes of each picture in a folder
  resnet-eval --ckpt RUN --export resnet34.pth                   weights in torchvision's naming (.pth or .safetensors)
  resnet-eval --ckpt x.th model=resnet20 shortcut=A dataset.normalization=imagenet
  resnet-eval --ckpt resnet50.pth model=resnet50 model.stride_in=3x3 dataset.normalization=imagenet
                                                                 another project's weights

A file of another project holds weights alone, so model=, and how its pixels were normalised, must be said; it is measured
in fp32 unless precision= says otherwise. Ours know all that, and are measured in the precision of their config.
The last line is JSON: top1_error and top5_error in percent, and count.
"""


@dataclasses.dataclass(frozen=True)
class Bench:
    """The subjects on their device, and the data they are to be measured on."""

    subjects: list[Subject]
    dataset: Dataset
    device: torch.device
    dtype: torch.dtype
    bad: BadImages

    @property
    def tested(self) -> list[Tested]:
        return [(one.network.to(self.device), one.pixels(self.dataset).to(self.device)) for one in self.subjects]

    def test(self, split: str, protocol: Protocol | None) -> Test:
        """A split and how it is shown. Raises UserError where the run has no such split."""
        part = {"train": self.dataset.train, "val": self.dataset.validation, "test": self.dataset.test}[split]
        if part is None:
            why = "ImageNet's test images have no public labels" if split == "test" else "this run held out no validation images"
            raise UserError(f"--split {split}: {why}")
        if isinstance(part, Split):
            return ImageTest(part.to(self.device))
        assert protocol is not None
        return self.photographs(part, protocol)

    def photographs(self, samples: Samples, protocol: Protocol) -> PhotographTest:
        workers = choose_workers(self.subjects[0].config.dataset.workers, self.device)
        return PhotographTest(samples, protocol, workers, self.device, self.bad)

    def name(self, test: Test, index: int) -> str:
        """What an image is called wherever the data lies: its path below the root, or its number."""
        if not isinstance(test, PhotographTest):
            return str(index)
        return os.path.relpath(test.samples.path(index), Path(self.subjects[0].config.dataset.root).expanduser())

    def measure_statistics(self, images: int | None) -> int:
        """Replaces the BN statistics of every subject by those over `images` training images, or all. Returns how many there were."""
        if not len(self.dataset.train):
            raise DataError("--bn population: there are no training images to measure the statistics on")
        for one, (network, pixels) in zip(self.subjects, self.tested, strict=True):
            loader = make_loader(one.config, self.dataset.train, pixels, device=self.device, bad=self.bad)
            batches = max(1, min(images or loader.count, loader.count) // loader.batch_size)
            bar = progress(range(batches), total=batches, unit="batch")
            population_statistics(network, (loader.batch(number)[0] for number in bar), dtype=self.dtype)
        return batches * loader.batch_size


def set_up(paths: list[Path], overrides: list[str]) -> Bench:
    """Opens the checkpoints, then the data. Raises UserError and DataError."""
    subjects = [open_subject(path, overrides) for path in paths]  # before the data: a foreign network is told at once
    refuse_mixture(subjects)
    first = subjects[0].config
    make_exact()
    device = choose_device(first.device)
    console = Console()
    dataset = load_dataset(first.dataset, console)
    for one in subjects:
        refuse_other_classes(one, dataset)
    bad = BadImages(first.dataset.on_error is OnError.skip, first.dataset.max_skipped, console.warn)
    return Bench(subjects, dataset, device, choose_dtype(first.precision, device), bad)


def choose_protocol(views: str | None, scales: list[int] | None, subject: Subject) -> Protocol | None:
    """How photographs are shown; None for images that are shown as they are. Raises UserError."""
    if scales and views != Views.dense:
        raise UserError("--scales belongs to --views dense")
    if scales and min(scales) < 32:
        raise UserError(f"--scales {min(scales)}: must be at least 32 pixels")
    if subject.config.dataset.image_size is None:
        if views not in (None, Views.single):
            raise UserError(f"--views {views}: section 4.2 tests {subject.config.dataset.name}'s 32x32 images by their single view")
        return None
    return Protocol(Views(views or Views.single), subject.image_size, tuple(scales or ()))


def progress(batches: Any, *, total: int, unit: str) -> Any:
    return tqdm(batches, total=total, unit=unit, leave=False, disable=not sys.stderr.isatty())


def score(bench: Bench, test: Test) -> Iterator[Scored]:
    """Every image's scores, under a bar."""
    with progress(None, total=len(test), unit=" images") as bar:
        for scores, labels, indices in test.scores(bench.tested, dtype=bench.dtype):
            yield scores, labels, indices
            bar.update(len(labels))


def evaluate(bench: Bench, test: Test, *, keep: bool) -> tuple[Errors, Predictions | None]:
    """The errors, and the scores themselves if they are to be kept."""
    count, kept = ErrorCount(bench.device), []
    for scores, labels, indices in score(bench, test):
        count.add(scores, labels)
        if keep:
            kept.append((scores.cpu(), labels.cpu(), indices))
    if not keep:
        return count.errors(), None
    scores, labels, indices = (torch.cat(parts) for parts in zip(*kept, strict=True))
    return count.errors(), Predictions(scores, labels, tuple(bench.name(test, index) for index in indices.tolist()))


def measure(options: argparse.Namespace, paths: list[Path], overrides: list[str]) -> tuple[Errors, dict[str, Any]]:
    """What --ckpt asks for: errors, and what they were measured with."""
    bench = set_up(paths, overrides)
    protocol = choose_protocol(options.views, options.scales, bench.subjects[0])
    split = options.split or ("test" if bench.dataset.test is not None else "val")
    test = bench.test(split, protocol)
    about: dict[str, Any] = {"network": " + ".join(one.name for one in bench.subjects)}
    about |= {"checkpoints": [str(one.path) for one in bench.subjects], "dataset": str(bench.dataset.name)}
    about |= {"classes": len(bench.dataset.classes), "split": split}
    about["views"] = str(protocol.views) if protocol else str(Views.single)
    if protocol and protocol.views is Views.dense:
        about["scales"] = list(protocol.scales or in_proportion(protocol.image_size))
    about["bn"] = "running averages"
    if options.bn == "population":
        about["bn"] = f"over {bench.measure_statistics(options.bn_images):,} training images"
    errors, kept = evaluate(bench, test, keep=options.predictions is not None)
    if kept is not None:
        predictions.write(kept, options.predictions)
    if options.export:
        export_one(bench.subjects, options.export)
    if bench.bad.found:
        about["skipped"] = bench.bad.found
    return errors, about | {"precision": precision_name(bench.dtype), "device": describe(bench.device)}


def average(files: list[Path]) -> tuple[Errors, dict[str, Any]]:
    """What --average asks for: the ensemble of kept scores."""
    kept = predictions.average(files)
    return predictions.errors(kept), {"network": "ensemble of kept scores", "predictions": [str(path) for path in files]}


def export_one(subjects: list[Subject], path: Path) -> None:
    if len(subjects) > 1:
        raise UserError(f"--export: one network goes into one file, here are {len(subjects)}")
    export(subjects[0].network, path)
    print(f"exported to {path}", file=sys.stderr)


def recognise(paths: list[Path], overrides: list[str], folder: Path) -> dict[str, list[tuple[str, float]]]:
    """What --images asks for: the five likeliest classes of each picture, with their probabilities. Raises UserError and DataError."""
    subjects = [open_subject(path, overrides) for path in paths]
    refuse_mixture(subjects)
    first = subjects[0]
    names = names_of(first.class_names())
    nothing = Dataset(first.config.dataset.name, names, first.image_size, pictures(folder), None)  # to learn from: no training images
    device = choose_device(first.config.device)
    bad = BadImages(skip=True, cap=len(nothing.train), warn=Console().warn)
    bench = Bench(subjects, nothing, device, choose_dtype(first.config.precision, device), bad)
    test = bench.photographs(pictures(folder), Protocol(Views.single, first.image_size))
    found: dict[str, list[tuple[str, float]]] = {}
    for scores, _, indices in score(bench, test):
        found |= {test.samples.path(index): top(one, names) for one, index in zip(scores, indices.tolist(), strict=True)}
    return found


def parse(arguments: list[str]) -> tuple[argparse.Namespace, list[Path], list[str]]:
    """Options, checkpoints and overrides. Raises UserError for what does not go together."""
    parser = argparse.ArgumentParser(
        "resnet-eval", description=f"{__doc__}\n\n{EXAMPLES}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--ckpt", nargs="+", metavar="RUN_OR_FILE", help="run folders or checkpoint files; several are an ensemble")
    what.add_argument("--average", nargs="+", type=Path, metavar="NPZ", help="the ensemble of scores that --predictions kept")
    parser.add_argument("--split", choices=("test", "val", "train"), help="which images (default: test; for ImageNet val)")
    parser.add_argument("--views", choices=[str(one) for one in Views], help="of photographs (default: single, the centre crop)")
    parser.add_argument("--scales", nargs="+", type=int, metavar="SIDE", help="shorter sides of --views dense (default: the paper's five)")
    parser.add_argument(
        "--bn", choices=("running", "population"), default="running", help="which BN statistics (default: the running averages)"
    )
    parser.add_argument("--bn-images", type=int, metavar="N", help="with --bn population: from so many training images (default: all)")
    parser.add_argument("--predictions", type=Path, metavar="NPZ", help="keep every image's scores in FILE.npz")
    parser.add_argument("--images", type=Path, metavar="DIR", help="instead: the likeliest classes of the pictures in a folder")
    parser.add_argument("--export", type=Path, metavar="FILE", help="write the weights in torchvision's naming (.pth or .safetensors)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything to FILE")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="as for resnet-train")
    options = parser.parse_args(arguments)
    words = options.ckpt or []
    is_override = {word: "=" in word and "/" not in word.split("=")[0] and not Path(word).exists() for word in words}
    paths = [Path(word).expanduser() for word in words if not is_override[word]]
    overrides = hydra_side.quote_paths([word for word in words if is_override[word]] + options.overrides)
    if options.ckpt and not paths:
        raise UserError("--ckpt: name a run folder or a checkpoint file")
    for name in ("json", "predictions", "export"):  # told before hours of measuring
        path = getattr(options, name)
        if path and (path.is_dir() or not path.absolute().parent.is_dir()):
            raise UserError(f"--{name} {path}: name a file in a folder that exists")
    if options.bn_images is not None and (options.bn_images < 1 or options.bn != "population"):
        raise UserError(f"--bn-images {options.bn_images}: a number of images, at least 1, for --bn population")
    if options.export:
        check_export(options.export)
    return options, paths, overrides


def show_pictures(found: dict[str, list[tuple[str, float]]]) -> None:
    for path, likeliest in found.items():
        print(path)
        print("\n".join(f"  {100 * probability:5.1f} %  {name}" for name, probability in likeliest))


def main_checked(arguments: list[str]) -> int:
    options, paths, overrides = parse(arguments)
    if options.images:
        found = recognise(paths, overrides, options.images)
        show_pictures(found)
        if options.json:
            options.json.write_text(json.dumps(found, indent=2) + "\n")
        return 0
    errors, about = average(options.average) if options.average else measure(options, paths, overrides)
    figures = dataclasses.asdict(errors)
    if options.json:
        options.json.write_text(json.dumps(figures | about, indent=2) + "\n")
    told = [(name, ", ".join(map(str, value)) if isinstance(value, list) else value) for name, value in about.items()]
    told += [("top-1 error", f"{errors.top1_error:.2f} %"), ("top-5 error", f"{errors.top5_error:.2f} %"), ("images", f"{errors.count:,}")]
    print(rows(told))
    print(json.dumps({name: figures[name] for name in ("top1_error", "top5_error", "count")}))
    return 0


def main() -> int:
    return run_command("resnet-eval", lambda: main_checked(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())

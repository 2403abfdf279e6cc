"""resnet-eval: the errors of a checkpoint, ours or another project's, or of several as an ensemble."""

import argparse
import dataclasses
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from resnet_cli import config as hydra_side
from resnet_cli.console import rows
from resnet_cli.data.images import Dataset, Normalizer, fit_normalizer
from resnet_cli.errors import UserError, run_command
from resnet_cli.evaluation.evaluator import Errors, measure
from resnet_cli.evaluation.weights import load_weights, read, state_dict_of
from resnet_cli.hardware import Precision, choose_device, choose_dtype, describe, make_exact, precision_name
from resnet_cli.models.resnet import ResNet
from resnet_cli.parts import load_dataset
from resnet_cli.schema import Config, architecture, flatten, from_plain, to_plain
from resnet_cli.training.checkpoint import is_ours, resolve

EXAMPLES = """examples:
  resnet-eval --ckpt runs/cifar10/resnet56-A/seed0               the last iterate of a run
  resnet-eval --ckpt runs/cifar10/resnet56-A/seed0/checkpoints/best.pt
  resnet-eval --ckpt RUN1 RUN2 RUN3                              an ensemble: softmax scores averaged
  resnet-eval --ckpt RUN --split val --json out.json
  resnet-eval --ckpt x.th model=resnet20 shortcut=A dataset.normalization=imagenet
                                                                 another project's CIFAR weights

A file of another project holds weights alone, so model=, and how its pixels were normalised, must be said; it is measured
in fp32 unless precision= says otherwise. Ours know all that, and are measured in the precision of their config.
The last line is JSON: top1_error and top5_error in percent, and count.
"""

# What may be said anew of one of our checkpoints: where the data lies and what computes, not what was trained.
FREE = ("dataset.root", "dataset.download", "dataset.mirror", "dataset.test_images", "device", "precision")


@dataclass(frozen=True)
class Subject:
    """One checkpoint to measure; `normalizer` is None where the data must yet be fitted."""

    path: Path
    config: Config
    state: dict[str, torch.Tensor]
    normalizer: Normalizer | None


def subject(path: Path, overrides: list[str]) -> Subject:
    """Opens a checkpoint file or run folder. Raises UserError."""
    path = resolve(path)
    content = read(path)
    if is_ours(content):
        pixels = content["normalizer"]
        return Subject(path, with_overrides(from_plain(content["config"]), overrides), content["network"], Normalizer(**pixels))
    state = state_dict_of(content, path)
    given = {override.split("=")[0] for override in overrides}
    if "model" not in given:
        raise UserError(
            f"checkpoint {path} holds weights alone: say which network and how its pixels were normalised,"
            " as in model=resnet20 shortcut=A dataset.normalization=imagenet"
        )
    if "precision" not in given:
        overrides = [*overrides, f"precision={Precision.fp32}"]
    return Subject(path, compose(overrides), state, None)


def compose(overrides: list[str]) -> Config:
    """A config from overrides, as resnet-train reads them."""
    (job,), _ = hydra_side.jobs(overrides, multirun=False)
    return job.config


def with_overrides(trained: Config, overrides: list[str]) -> Config:
    """The config of a run, with what `overrides` may change. $RESNET_DATA counts as one. Raises UserError for the rest."""
    asked, tree = flatten(to_plain(compose(overrides))), to_plain(trained)
    keys = [override.split("=")[0].lstrip("+") for override in overrides]
    if "RESNET_DATA" in os.environ:
        keys.append("dataset.root")
    for key in keys:
        if key not in FREE:
            raise UserError(f"{key} cannot be changed here: the checkpoint knows what was trained; {', '.join(FREE)} can")
        *groups, name = key.split(".")
        branch = tree
        for group in groups:
            branch = branch[group]
        branch[name] = asked[key]
    return from_plain(tree)


def evaluate(paths: list[Path], overrides: list[str], *, split: str) -> tuple[Errors, dict[str, Any]]:
    """The errors of one checkpoint or an ensemble, and what they were measured with. Raises UserError and DataError."""
    subjects = [subject(path, overrides) for path in paths]
    first = subjects[0].config
    for other in subjects[1:]:
        if images_of(other.config) != images_of(first):
            raise UserError(f"{other.path} has other images than {subjects[0].path} ({first.dataset.name}): they make no ensemble")
    make_exact()
    device = choose_device(first.device)
    dtype = choose_dtype(first.precision, device)
    nets = [network(one) for one in subjects]  # before the data: a foreign network is told at once
    dataset = load_dataset(first.dataset)
    images = {"test": dataset.test, "val": dataset.validation, "train": dataset.train}[split]
    if images is None:
        raise UserError("--split val: this run held out no validation images (dataset.validation=0)")
    pairs = [(net.to(device), pixels(one, dataset).to(device)) for net, one in zip(nets, subjects, strict=True)]
    errors = measure(pairs, images.to(device), dtype=dtype)
    names = [net.architecture.name for net in nets]
    return errors, {
        "network": " + ".join(names),
        "checkpoints": [str(one.path) for one in subjects],
        "dataset": str(first.dataset.name),
        "split": split,
        "precision": precision_name(dtype),
        "device": describe(device),
    }


def images_of(config: Config) -> tuple[object, ...]:
    """What decides which images a config's splits hold."""
    data = config.dataset
    return data.name, data.validation, data.train_images, data.test_images


def network(one: Subject) -> ResNet:
    """The network of a checkpoint, in eval mode."""
    net = ResNet(architecture(one.config, num_classes=10))
    load_weights(net, one.state, path=one.path, name=net.architecture.name)
    return net.eval().to(memory_format=torch.channels_last)


def pixels(one: Subject, dataset: Dataset) -> Normalizer:
    """How a checkpoint's pixels are normalised: as it says itself, else as its overrides do."""
    return one.normalizer or fit_normalizer(one.config.dataset.normalization, dataset.train)


def main_checked(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        "resnet-eval", description=f"{__doc__}\n\n{EXAMPLES}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--ckpt", nargs="+", required=True, metavar="RUN_OR_FILE", help="run folders or checkpoint files; several are an ensemble"
    )
    parser.add_argument("--split", choices=("test", "val", "train"), default="test", help="which images (default: test)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything to FILE")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="as for resnet-train")
    options = parser.parse_args(arguments)
    is_override = {word: "=" in word and "/" not in word.split("=")[0] and not Path(word).exists() for word in options.ckpt}
    paths = [Path(word).expanduser() for word in options.ckpt if not is_override[word]]
    overrides = hydra_side.quote_paths([word for word in options.ckpt if is_override[word]] + options.overrides)
    if not paths:
        raise UserError("--ckpt: name a run folder or a checkpoint file")
    if options.json and (options.json.is_dir() or not options.json.absolute().parent.is_dir()):
        raise UserError(f"--json {options.json}: name a file in a folder that exists")
    errors, about = evaluate(paths, overrides, split=options.split)
    figures = dataclasses.asdict(errors)
    if options.json:
        options.json.write_text(json.dumps(figures | about, indent=2) + "\n")
    told = [(name, ", ".join(value) if isinstance(value, list) else value) for name, value in about.items()]
    told += [("top-1 error", f"{errors.top1_error:.2f} %"), ("top-5 error", f"{errors.top5_error:.2f} %"), ("images", f"{errors.count:,}")]
    print(rows(told))
    print(json.dumps({name: figures[name] for name in ("top1_error", "top5_error", "count")}))
    return 0


def main() -> int:
    return run_command("resnet-eval", lambda: main_checked(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())

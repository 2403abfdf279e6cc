"""What each word behind resnet-analyze does: open, measure, write, say."""

import argparse
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

from resnet_cli.analysis.chain import in_blocks, places, take_apart
from resnet_cli.analysis.deepen import Outputs, deepened, outputs, validate_can_deepen
from resnet_cli.analysis.gradients import gradients
from resnet_cli.analysis.landscape import Plane, digest, grid, kept, measure_points
from resnet_cli.analysis.lesion import lesions
from resnet_cli.analysis.measure import open_all, progress, set_up
from resnet_cli.analysis.paths import path_lengths
from resnet_cli.analysis.subject import Subject
from resnet_cli.analysis.walk import images_of, measured
from resnet_cli.models.architecture import Architecture, Shortcut, cifar
from resnet_cli.models.fold_bn import FoldedBN
from resnet_cli.models.resnet import Network, ResNet
from resnet_cli.paper.why import gradients as gradients_figure
from resnet_cli.paper.why import identity as identity_figure
from resnet_cli.paper.why import landscape as landscape_figure
from resnet_cli.paper.why import lesion as lesion_figure
from resnet_cli.paper.why import paths as paths_figure
from resnet_cli.paper.why.records import Gradient, Identity, Lesion, Measured, PathLength, to_csv
from resnet_cli.paper.why.style import save
from resnet_cli.runtime.device import precision_name
from resnet_cli.runtime.errors import UserError
from resnet_cli.runtime.files import write_whole
from resnet_cli.training import checkpoint

_COMMAND = "resnet-analyze"


def run(options: argparse.Namespace, paths: list[Path], overrides: list[str]) -> int:
    """Raises UserError and DataError."""
    if options.what == "gradients":  # along training, as far as checkpoints of it were kept
        paths = [one for path in paths for one in (*checkpoint.kept(path), path)]
    subjects = open_all(paths, overrides)
    for one in subjects:  # before the data: a network without blocks is told at once
        if options.what == "lesion":
            take_apart(one.network, image_size=one.image_size)
        elif options.what != "landscape":  # which takes any network
            in_blocks(one.network)
    _COMMANDS[options.what](options, subjects)
    return 0


def _lesion(options: argparse.Namespace, subjects: list[Subject]) -> None:
    bench = set_up(subjects, command=_COMMAND)
    split = images_of(bench, "test", options.images)
    rows: list[Lesion] = []
    for subject, (network, pixels) in zip(subjects, bench.subjects_here, strict=True):
        rows += lesions(
            FoldedBN(network).network,
            split,
            pixels,
            image_size=subject.image_size,
            ks=options.k,
            draws=options.draws,
            seed=options.seed,
            dtype=bench.dtype,
            of=measured(subject, bench, len(split)),
            progress=_bar(subject.name),
        )
    _write(options.out, lesion_figure.NAME, rows, lambda: lesion_figure.figure(rows))
    _say(lesion_figure.sentences(rows))


def _paths(options: argparse.Namespace, subjects: list[Subject]) -> None:
    for one in subjects:
        if one.network.architecture.shortcut is Shortcut.none:
            raise UserError(f"{one.path}: {one.name} has no shortcuts, so there is only one path")
    bench = set_up(subjects, command=_COMMAND)
    split = images_of(bench, "test", options.images)
    rows: list[PathLength] = []
    for subject, (network, pixels) in zip(subjects, bench.subjects_here, strict=True):
        rows += path_lengths(
            in_blocks(network),
            places(network, image_size=subject.image_size),
            pixels(split.images),
            split.labels,
            paths=options.paths,
            seed=options.seed,
            of=measured(subject, bench, len(split)),
            progress=_bar(subject.name, unit="length"),
        )
    _write(options.out, paths_figure.NAME, rows, lambda: paths_figure.figure(rows))
    _say(paths_figure.sentences(rows))


def _gradients(options: argparse.Namespace, subjects: list[Subject]) -> None:
    bench = set_up(subjects, command=_COMMAND)
    split = images_of(bench, "train", options.images)
    rows: list[Gradient] = []
    done: set[tuple[str, int | None, int | None]] = set()
    for subject, (opened, pixels) in zip(subjects, bench.subjects_here, strict=True):
        network, of = in_blocks(opened), measured(subject, bench, len(split))
        stages = [(network, of)]
        if subject.origin is not None:  # the weights that its run began with
            torch.manual_seed(subject.origin.config.seed)
            start = ResNet(network.architecture).to(bench.device)
            stages.insert(0, (start, of | {"iteration": 0}))
        for one, columns in stages:
            key = (columns["network"], columns["seed"], columns["iteration"])
            if key not in done:
                line = places(one, image_size=subject.image_size)
                images = pixels(split.images)
                rows += gradients(one, line, images, split.labels, of=columns)
                done.add(key)
    _write(options.out, gradients_figure.NAME, rows, lambda: gradients_figure.figure(rows))
    _say(gradients_figure.sentences(rows))


def _identity(options: argparse.Namespace, subjects: list[Subject]) -> None:
    fewest = min(one.network.architecture.depth for one in subjects)
    shallow = [one for one in subjects if one.network.architecture.depth == fewest]
    deeper = [one for one in subjects if one.network.architecture.depth > fewest]
    net = in_blocks(shallow[0].network).architecture
    targets = [in_blocks(one.network).architecture for one in deeper] or [
        _deeper(net, options.depth)
    ]
    for target in targets:
        validate_can_deepen(net, target)
    bench = set_up(subjects, command=_COMMAND)
    splits = {name: images_of(bench, name, options.images) for name in ("train", "test")}
    pixels = {one.path: one.pixels(bench.dataset).to(bench.device) for one in subjects}
    rows: list[Identity] = []

    def add(
        subject: Subject, role: str, network: Network, like: dict[str, Outputs] | None = None
    ) -> dict[str, Outputs]:
        found = {}
        for name, split in splits.items():
            said = outputs(network.to(bench.device), split, pixels[subject.path])
            of = measured(subject, bench, len(split)) | {"network": network.architecture.name}
            largest = None if like is None else float((said.logits - like[name].logits).abs().max())
            rows.append(
                Identity(
                    **of,
                    role=role,
                    layers=network.architecture.depth,
                    split=name,
                    error=said.error,
                    loss=said.loss,
                    logit_difference=largest,
                )
            )
            found[name] = said
        return found

    for subject in shallow:
        said = add(subject, "trained", subject.network)
        for target in dict.fromkeys(targets):
            add(subject, "constructed", deepened(in_blocks(subject.network), target), said)
    for subject in deeper:
        add(subject, "deeper, trained", subject.network)
    _write(options.out, identity_figure.NAME, rows, lambda: identity_figure.figure(rows))
    _say(identity_figure.sentences(rows))


def _deeper(net: Architecture, depth: int) -> Architecture:
    """The network of section 4.2 with so many layers. Raises UserError."""
    try:
        return cifar(depth, shortcut=net.shortcut, num_classes=net.num_classes)
    except ValueError as error:
        raise UserError(str(error).replace("model.depth=", "--depth ")) from error


def _landscape(options: argparse.Namespace, subjects: list[Subject]) -> None:
    todo = grid(options.grid, options.range)
    bench = set_up(subjects, command=_COMMAND)
    split = images_of(bench, "test", options.images)
    path = options.out / f"{landscape_figure.NAME}.csv"
    settings = {"direction_seed": options.seed, "precision": precision_name(bench.dtype)}
    wanted = [
        measured(one, bench, len(split)) | settings | {"weights": digest(one.network)}
        for one in subjects
    ]
    rows = kept(path, wanted)
    for of, (network, pixels) in zip(wanted, bench.subjects_here, strict=True):
        there = {(row.a, row.b) for row in rows if row.weights == of["weights"]}
        left = [place for place in todo if place not in there]
        if there:
            print(f"{of['network']}: {len(there):,} points are in {path}, {len(left):,} are left")
        plane, began = Plane(network, seed=options.seed), time.monotonic()

        def validate_time(count: int = len(left), began: float = began) -> None:
            hours = (time.monotonic() - began) * count / 3600
            if hours > options.hours:
                raise UserError(
                    f"--grid {options.grid}: {count:,} points would take {hours:,.1f} hours; use a "
                    "smaller one, fewer --images, or --hours"
                )

        rows += measure_points(
            plane,
            _bar(str(of["network"]), unit="point")(left, len(left)),
            partial(plane.measure, split, pixels, dtype=bench.dtype),
            of=of,
            path=path,
            after_first=validate_time,
        )
    for file in save(
        landscape_figure.NAME,
        lambda: landscape_figure.figure(rows),
        options.out,
        ("png", "svg"),
    ):
        print(f"wrote {file}")
    _say(landscape_figure.sentences(rows))


def _bar(name: str, *, unit: str = "batch") -> Callable[[Any, int], Any]:
    return lambda steps, total: progress(steps, total=total, unit=f"{unit} of {name}")


def _write(
    out: Path,
    name: str,
    rows: Sequence[Measured],
    figure: Callable[[], Figure],
    formats: Sequence[str] = ("png",),
) -> None:
    """NAME.csv and NAME.png."""
    write_whole(out / f"{name}.csv", to_csv(rows))
    for path in [out / f"{name}.csv", *save(name, figure, out, formats)]:
        print(f"wrote {path}")


def _say(sentences: Sequence[str]) -> None:
    print("\n".join(filter(None, sentences)))


_COMMANDS: dict[str, Callable[[argparse.Namespace, list[Subject]], None]] = {
    "lesion": _lesion,
    "paths": _paths,
    "gradients": _gradients,
    "identity": _identity,
    "landscape": _landscape,
}

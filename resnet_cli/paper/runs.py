"""Reading run folders, finished or still running, for tables and figures."""

import dataclasses
import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnet_cli.config.plain import from_plain, to_plain, trained
from resnet_cli.config.schema import architecture
from resnet_cli.models.architecture import Shortcut
from resnet_cli.paper import recipe
from resnet_cli.paper.data import Data, read_data
from resnet_cli.paper.prose import Code, Prose, Short, note, prose
from resnet_cli.paper.published import FULL_ITERATIONS
from resnet_cli.paper.reading import (
    UNREADABLE,
    read_config,
    read_json,
    read_log,
    read_note,
    text,
    whole,
    why,
)
from resnet_cli.runtime.choices import Precision
from resnet_cli.runtime.locks import is_held
from resnet_cli.training.metrics import METRICS
from resnet_cli.training.records import LOCK

TRAINING = "train/error"
_RESULT = "result.json"
_NOTE = "note.md"  # what a person has to say of a run, for the report's notes
# a network's kind: what it is called, and the shortcut that goes without saying
_SPOKEN = {
    "plain": ("plain", ""),
    "resnet": ("ResNet", "A"),
    "preact": ("pre-activation ResNet", "A"),
    "wrn": ("WRN", "B"),
}
_NO_RECIPE = ("seed", "precision", "compile", "fused_blocks")


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a finished run says of itself in result.json, as far as the report needs it."""

    command: str
    commit: str  # or the version of an installed package
    best: tuple[int, str] | None  # iteration of the best iterate; the images it was chosen on


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run folder: its config, its log, and its result if it is finished."""

    folder: Path
    network: str  # plain56, resnet56-A
    depth: int
    is_plain: bool
    dataset: str  # as `data.label` has it
    data: Data
    seed: int
    # everything that decides what is trained, but for the seed: runs of one recipe and precision
    # are its seeds
    recipe: str
    precision: str  # what it was computed with; empty where that is not written down
    differences: tuple[str, ...]  # from the paper's recipe for this network, its length aside
    deviations: tuple[str, ...]  # those of them that the paper's recipe does not leave open
    iterations: int  # of the whole schedule
    metrics: list[dict[str, Any]]
    result: Result | None
    running: bool  # its lock is held

    @property
    def state(self) -> str:
        """`finished`, `running` or `stopped`."""
        return "finished" if self.result else "running" if self.running else "stopped"

    @property
    def setting(self) -> str:
        """What a table prints beside the network: all that is not the paper's."""
        return ", ".join(dict.fromkeys((*self.differences, *self.deviations)))

    @property
    def held_out(self) -> str:
        """The error that is drawn bold: of the test images, or of the validation images where
        no others are measured (ImageNet).
        """
        only_validation = self.last("test/error") is None and self.last("val/error") is not None
        return "val/error" if only_validation else "test/error"

    @property
    def iteration(self) -> int:
        """How far the run is."""
        return int(self.metrics[-1]["iteration"]) if self.metrics else 0

    def curve(self, name: str) -> tuple[list[int], list[float]]:
        """The iterations and values of one figure, such as `train/error` in percent."""
        points = [(line["iteration"], line[name]) for line in self.metrics if name in line]
        return [x for x, _ in points], [y for _, y in points]

    def last(self, name: str) -> float | None:
        """The newest value of one figure."""
        return next((line[name] for line in reversed(self.metrics) if name in line), None)

    def at_best(self) -> tuple[float, str] | None:
        """The held-out error at the best iterate of a finished run, and the images that iterate
        was chosen on.
        """
        if self.result is None or self.result.best is None:
            return None
        iteration, chosen_on = self.result.best
        values = dict(zip(*self.curve(self.held_out), strict=True))
        return (values[iteration], chosen_on) if iteration in values else None


def find(roots: Iterable[Path]) -> tuple[list[Run], list[Prose]]:
    """Every run below `roots`, plain before residual, shallow before deep; and what had to be
    passed over, in words.
    """
    found: list[Run] = []
    notes: list[Prose] = []
    for folder in sorted({path.parent for root in roots for path in root.rglob(METRICS)}):
        try:
            run, broken = _read_run(folder)
        except UNREADABLE as error:
            notes.append(passed_over(folder, error))
            continue
        found.append(run)
        if (folder / _NOTE).exists():
            try:
                told = note(read_note(folder / _NOTE))
                notes.append(prose(f"{run.network}, seed {run.seed}: ", told))
            except UNREADABLE as error:
                notes.append(passed_over(folder / _NOTE, error))
        if broken:
            what = f": {broken} line(s) could not be read and were passed over"
            notes.append(prose(Code(str(folder / METRICS)), what))
    runs: dict[tuple[str, str, str, int], Run] = {}
    for run in _with_labels(found):
        twin = runs.setdefault((run.dataset, run.recipe, run.precision, run.seed), run)
        if twin is not run:
            one, other = Code(str(run.folder)), Code(str(twin.folder))
            notes.append(
                prose(one, " is the same recipe and seed as ", other, ", and does not count again")
            )
    return sorted(runs.values(), key=_place), notes


def passed_over(path: Path, error: BaseException) -> Prose:
    """The line for a file or folder that could not be read."""
    return prose(Code(str(path)), f" was passed over: {why(error)}")


def _with_labels(runs: Sequence[Run]) -> list[Run]:
    """The runs, with equal data under one label wherever it lay, and data sets of one label told
    apart by what their classes and counts are.
    """
    labels: dict[str, str] = {}
    for run in runs:
        labels[run.data.key] = min(run.data.label, labels.get(run.data.key, run.data.label))
    keys: defaultdict[str, set[str]] = defaultdict(set)
    for key, name in labels.items():
        keys[name].add(key)

    def label(run: Run) -> str:
        name = labels[run.data.key]
        if len(keys[name]) == 1:
            return name
        return f"{name}-{hashlib.sha256(run.data.key.encode()).hexdigest()[:6]}"

    return [dataclasses.replace(run, dataset=label(run)) for run in runs]


def seeds_together(runs: Sequence[Run]) -> list[list[Run]]:
    """The runs, seeds of one recipe together: alike but for the seed, computed in one precision.

    One that runs, and does not say yet what it computes with, goes with the first of its recipe.
    """
    groups: dict[tuple[str, str, str], list[Run]] = {}
    for run in runs:
        alike = [key for key in groups if key[:2] == (run.dataset, run.recipe)]
        unsaid = bool(alike) and not run.precision
        key = alike[0] if unsaid else (run.dataset, run.recipe, run.precision)
        groups.setdefault(key, []).append(run)
    return list(groups.values())


def _place(run: Run) -> tuple[str, bool, int, str, int, str, str, int]:
    """Where a run stands among others: plain first, then by depth, the longest schedule first,
    seed by seed.
    """
    return (
        run.dataset,
        not run.is_plain,
        run.depth,
        run.network,
        -run.iterations,
        run.recipe,
        # what says it, first
        run.precision or "~",
        run.seed,
    )


def _read_run(folder: Path) -> tuple[Run, int]:
    """One folder, and how many lines of its log could not be read. Raises one of UNREADABLE."""
    metrics, broken = read_log(folder / METRICS)
    content = read_json(folder / _RESULT) if (folder / _RESULT).exists() else None
    tree = content["config"] if content is not None else read_config(folder / "config.yaml")
    config = from_plain(tree)  # what an older version did not have is as by default
    whole(config.model.depth, highest=100_000)
    whole(config.schedule.iterations)
    whole(config.seed, highest=2**63)
    net = architecture(config, num_classes=10)
    data = read_data(folder, config, content)
    different = recipe.differences(config)
    precision = text((content or {}).get("precision"), otherwise="")
    if not precision and config.precision is not Precision.auto:
        precision = str(config.precision)
    deviations = recipe.deviations(different, dataset=config.dataset.name, precision=precision)
    kept = trained(to_plain(config))
    run = Run(
        folder=folder,
        network=net.name,
        depth=net.depth,
        is_plain=net.shortcut is Shortcut.none,
        dataset=data.label,
        data=data,
        seed=config.seed,
        recipe=json.dumps(
            {key: value for key, value in kept.items() if key not in _NO_RECIPE}, sort_keys=True
        ),
        precision=precision,
        differences=recipe.told(different),
        deviations=(*deviations, *data.deviations),
        iterations=config.schedule.iterations,
        metrics=metrics,
        result=_result(content) if content is not None else None,
        running=content is None and is_held(folder / LOCK),
    )
    return run, broken


def _result(content: dict[str, Any]) -> Result:
    """The part of a result.json that the report shows. Raises one of UNREADABLE."""
    best, versions = content.get("best"), content.get("versions")
    version = text((versions if isinstance(versions, dict) else {}).get("resnet_cli"))
    return Result(
        command=text(content.get("command")),
        commit=text(content.get("commit"), otherwise=f"version {version}"),
        best=(whole(best["iteration"]), text(best["chosen_on"])) if best else None,
    )


def spoken(network: str) -> str:
    """`plain-56`, `ResNet-56`, `ResNet-34 B`, `WRN-28-10`, as their papers call them."""
    if vgg := re.fullmatch(r"vgg(\d+)(_bn)?", network):
        return f"VGG-{vgg[1]}{' with BN' if vgg[2] else ''}"
    named = re.fullmatch(r"(plain|resnet|preact|wrn)(\d+)(?:-(.+))?", network)
    if named is None:
        return network
    kind, depth, rest = named.groups(default="")
    first, own = _SPOKEN[kind]
    kinds = [one for one in rest.split("-") if one and one != own]
    if kind == "wrn":
        return " ".join([f"{first}-{depth}-{kinds[0]}", *kinds[1:]])
    return " ".join([f"{first}-{depth}", *kinds])


def title_of(dataset: str) -> str:
    """A data set's name for a heading."""
    known = {
        "cifar10": "CIFAR-10",
        "cifar100": "CIFAR-100",
        "cifar100-coarse": "CIFAR-100, 20 superclasses",
        "imagenet": "ImageNet",
    }
    name, _, classes = dataset.partition("-")
    if name != "imagenet" or not re.match(r"\d+(-|$)", classes):
        return known.get(dataset, dataset)
    name = known[name]
    count, _, which = classes.partition("-")
    return f"{count} classes of one's own, not {name}" + (f" ({which})" if which else "")


def fraction(dataset: str, iterations: int) -> str:
    """`1/16 of the paper's 64,000`; empty for a whole schedule, and where the paper has none."""
    full = FULL_ITERATIONS.get(dataset, iterations)
    if iterations == full:
        return ""
    part = (
        f"1/{full // iterations}" if full % iterations == 0 else f"{100 * iterations / full:.3g} %"
    )
    return f"{part} of the paper's {full:,}"


def provenance(result: Result) -> Prose:
    """The command and the commit (or version) that made a result."""
    return prose(Code(result.command), " at ", Short(result.commit))

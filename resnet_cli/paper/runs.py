"""Reading run folders, finished or still running, for tables and figures."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from resnet_cli.config.schema import architecture, flatten, from_plain, to_plain, trained
from resnet_cli.paper.published import FULL_ITERATIONS, RECIPES, WARMED_UP
from resnet_cli.training.logbook import METRICS, read_metrics

TRAINING = "train/error"
NOTE = "note.md"  # what a person has to say of a run, for the report's notes


@dataclass(frozen=True)
class Run:
    """One run folder: its config, its log, and its result if it is finished."""

    folder: Path
    network: str  # plain56, resnet56-A
    dataset: str
    seed: int
    # all of the config that is neither seed nor bookkeeping: runs of one recipe differ by seed
    # alone
    recipe: str
    setting: str  # the overrides in the folder's name, for a person
    # what differs from the paper's recipe, its length aside; nothing for other data sets
    deviations: tuple[str, ...]
    iterations: int  # of the whole schedule
    metrics: list[dict[str, Any]]
    result: dict[str, Any] | None

    @property
    def depth(self) -> int:
        return int("".join(filter(str.isdigit, self.network.split("-")[0])))

    @property
    def is_plain(self) -> bool:
        return self.network.startswith("plain")

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
        values = self.curve(name)[1]
        return values[-1] if values else None

    def at_best(self) -> tuple[float, str] | None:
        """The held-out error at the best iterate of a finished run, and the images that iterate
        was chosen on.
        """
        best = self.result["best"] if self.result and "best" in self.result else None
        values = dict(zip(*self.curve(self.held_out), strict=True))
        return (
            (values[best["iteration"]], best["chosen_on"])
            if best and best["iteration"] in values
            else None
        )


def find(roots: Iterable[Path]) -> tuple[list[Run], list[str]]:
    """Every run below `roots`, plain before residual, shallow before deep; and what had to be
    passed over, in words.
    """
    runs: dict[tuple[str, str, int], Run] = {}
    notes: list[str] = []
    for folder in sorted({path.parent for root in roots for path in root.rglob(METRICS)}):
        try:
            run, broken = read_run(folder)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
            notes.append(
                f"{folder} was passed over: {type(error).__name__}: "
                f"{str(error).splitlines()[0] if str(error) else ''}"
            )
            continue
        if (folder / NOTE).is_file():
            words = (folder / NOTE).read_text(errors="replace").split()
            notes.append(f"{run.network}, seed {run.seed}: {' '.join(words)}")
        if broken:
            notes.append(
                f"{folder / METRICS}: {broken} line(s) could not be read and were passed over"
            )
        twin = runs.setdefault((run.dataset, run.recipe, run.seed), run)
        if twin is not run:
            notes.append(
                f"{run.folder} is the same recipe and seed as {twin.folder}, and does not "
                "count again"
            )
    return sorted(runs.values(), key=place), notes


def place(run: Run) -> tuple[str, bool, int, str, int, str, int]:
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
        run.seed,
    )


def read_run(folder: Path) -> tuple[Run, int]:
    """One folder, and how many lines of its log could not be read."""
    metrics, broken = read_metrics(folder / METRICS)
    result_file = folder / "result.json"
    result = json.loads(result_file.read_text()) if result_file.is_file() else None
    tree = result["config"] if result else yaml.safe_load((folder / "config.yaml").read_text())
    config = flatten(tree)
    dataset, iterations = (
        data_name(config["dataset.name"], classes_of(folder, result)),
        config["schedule.iterations"],
    )
    network = result["network"] if result else architecture(from_plain(tree), num_classes=10).name
    # keys that an older version did not have are as by default
    every = trained(to_plain(from_plain(tree)))
    recipe = json.dumps(
        {key: value for key, value in every.items() if key != "seed"}, sort_keys=True
    )
    setting = folder.parent.name if folder.parent.name != network else ""
    papers = RECIPES.get(dataset, {})
    if dataset == "cifar10":
        papers = papers | {
            "schedule.warmup_lr": 0.01 if config["model.depth"] in WARMED_UP else None
        }
    deviations = tuple(
        f"{key}={config[key]}"
        for key, value in papers.items()
        if key in config and config[key] != value
    )
    # the paper's two GPUs normalised 64 images each
    if dataset == "cifar10" and config.get("bn_batch") not in (None, 64):
        deviations += (f"bn_batch={config['bn_batch']}",)
    return Run(
        folder,
        network,
        dataset,
        config["seed"],
        recipe,
        setting,
        deviations,
        iterations,
        metrics,
        result,
    ), broken


def classes_of(folder: Path, result: dict[str, Any] | None) -> int | None:
    """How many classes a run's data has, where that is written down."""
    if result:
        return result.get("classes")
    data = folder / "data.json"
    return len(json.loads(data.read_text())["classes"]) if data.is_file() else None


def data_name(dataset: str, classes: int | None) -> str:
    """`cifar10`; `imagenet` only with all its classes, `imagenet-20` for another folder of 20:
    these are not compared with the paper's.
    """
    return (
        f"{dataset}-{classes}" if dataset == "imagenet" and classes not in (None, 1000) else dataset
    )


def title_of(dataset: str) -> str:
    """A data set's name for a heading."""
    name, _, classes = dataset.partition("-")
    return f"{classes} classes of one's own, not {name}" if classes else name


def fraction(dataset: str, iterations: int) -> str:
    """`1/16 of the paper's 64,000`; empty for a whole schedule, and where the paper has none."""
    full = FULL_ITERATIONS.get(dataset, iterations)
    if iterations == full:
        return ""
    part = (
        f"1/{full // iterations}" if full % iterations == 0 else f"{100 * iterations / full:.3g} %"
    )
    return f"{part} of the paper's {full:,}"


def provenance(result: dict[str, Any]) -> str:
    """The command and the commit (or version) that made a result."""
    made = (
        result.get("commit") or f"version {result.get('versions', {}).get('resnet_cli', 'unknown')}"
    )
    return f"`{result.get('command', 'unknown')}` at {made}"

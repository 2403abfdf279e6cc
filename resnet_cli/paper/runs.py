"""Reading run folders, finished or still running, for tables and figures."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from resnet_cli.schema import BOOKKEEPING, flatten
from resnet_cli.training.logbook import METRICS, read_metrics


@dataclass(frozen=True)
class Run:
    """One run folder: its config, its log, and its result if it is finished."""

    folder: Path
    network: str  # plain56, resnet56-A
    dataset: str
    seed: int
    recipe: str  # all of the config that is neither seed nor bookkeeping: runs of one recipe differ by seed alone
    setting: str  # the overrides in the folder's name, for a person
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


def find(roots: Iterable[Path]) -> tuple[list[Run], list[str]]:
    """Every run below `roots`, plain before residual, shallow before deep; and what had to be passed over, in words."""
    runs: list[Run] = []
    notes: list[str] = []
    folders = sorted({path.parent for root in roots for path in root.rglob(METRICS)})
    for folder in folders:
        try:
            run, broken = read_run(folder)
        except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
            notes.append(f"{folder} was passed over: {type(error).__name__}: {error}")
            continue
        if broken:
            notes.append(f"{folder / METRICS}: {broken} line(s) could not be read and were passed over")
        twin = next((one for one in runs if (one.recipe, one.seed) == (run.recipe, run.seed)), None)
        if twin is not None:
            notes.append(f"{run.folder} is the same recipe and seed as {twin.folder}, and does not count again")
            continue
        runs.append(run)
    runs.sort(key=lambda run: (run.dataset, not run.is_plain, run.depth, run.network, run.iterations, run.recipe, run.seed))
    return runs, notes


def read_run(folder: Path) -> tuple[Run, int]:
    """One folder, and how many lines of its log could not be read."""
    metrics, broken = read_metrics(folder / METRICS)
    result_file = folder / "result.json"
    result = json.loads(result_file.read_text()) if result_file.is_file() else None
    config = result["config"] if result else yaml.safe_load((folder / "config.yaml").read_text())
    depth, shortcut = config["model"]["depth"], config["shortcut"]
    network = f"plain{depth}" if shortcut == "none" else f"resnet{depth}-{shortcut}"
    recipe = json.dumps({key: value for key, value in flatten(config).items() if key not in BOOKKEEPING | {"seed"}}, sort_keys=True)
    setting = folder.parent.name if folder.parent.name != network else ""
    iterations = config["schedule"]["iterations"]
    return Run(folder, network, config["dataset"]["name"], config["seed"], recipe, setting, iterations, metrics, result), broken

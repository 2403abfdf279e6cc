"""Reading what `resnet-eval --json FILE` wrote: errors under other views than a run logs
itself, and ensembles.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnet_cli.paper.runs import Run, data_name

RUN_FILES = ("result.json", "responses.json", "data.json")


@dataclass(frozen=True)
class Evaluation:
    """One file of resnet-eval: which checkpoints on which images, and their errors in percent."""

    path: Path
    network: str  # several joined by ` + `
    checkpoints: tuple[Path, ...]
    dataset: str
    split: str
    views: str  # single | ten | dense
    scales: tuple[int, ...]  # shorter sides, where several were averaged
    errors: dict[str, float]  # top-1, top-5
    count: int
    bn: str  # which BN statistics, where not the running averages
    runs: tuple[Run, ...]  # those it measured, as far as they are known

    @property
    def run(self) -> Run | None:
        """The one run it measured."""
        return self.runs[0] if len(self.checkpoints) == len(self.runs) == 1 else None

    @property
    def told(self) -> str:
        """What was measured, in words."""
        scales = f" at {', '.join(map(str, self.scales))}" if self.scales else ""
        statistics = f", BN {self.bn}" if self.bn else ""
        files = ", ".join(sorted({path.name for path in self.checkpoints} - {"last.pt"}))
        unfinished = (
            f", of a run at {self.run.iteration:,} of {self.run.iterations:,}"
            if self.run and not self.run.result
            else ""
        )
        return (
            f"{self.views}{scales}, {self.split}, {self.count:,} images{statistics}"
            + (f", {files}" if files else "")
            + unfinished
        )


def find_evaluations(
    roots: Iterable[Path], runs: Sequence[Run]
) -> tuple[list[Evaluation], list[str]]:
    """Every evaluation among or below `roots`: a *.json that has a top1_error.

    Others are no business of ours.
    """
    folders = {run.folder.resolve(): run for run in runs}
    found, notes = [], []
    files = {file for root in roots for file in (root.rglob("*.json") if root.is_dir() else [root])}
    for path in sorted(file for file in files if file.name not in RUN_FILES):
        try:
            content = json.loads(path.read_text())
            if isinstance(content, dict) and "top1_error" in content:
                found.append(read_evaluation(path, content, folders))
            elif path in roots:
                notes.append(
                    f"{path} was passed over: it has no top1_error, so it is not from "
                    "resnet-eval --json"
                )
        except (OSError, ValueError, KeyError, TypeError) as error:
            notes.append(f"{path} was passed over: {type(error).__name__}: {error}")
    return found, notes


def read_evaluation(path: Path, content: dict[str, Any], folders: dict[Path, Run]) -> Evaluation:
    """One file.

    A checkpoint belongs to the run whose folder it lies in; a single one also to that in which the
    file itself lies.
    """
    checkpoints = tuple(Path(str(one)) for one in content["checkpoints"])
    homes = [list(one.resolve().parents) for one in checkpoints]
    if len(homes) == 1:
        homes[0] += path.resolve().parents
    measured = [next((folders[home] for home in above if home in folders), None) for above in homes]
    bn = str(content.get("bn", ""))
    return Evaluation(
        path,
        str(content["network"]),
        checkpoints,
        data_name(str(content["dataset"]), content.get("classes")),
        str(content["split"]),
        str(content.get("views", "single")),
        tuple(content.get("scales") or ()),
        {"top-1": float(content["top1_error"]), "top-5": float(content["top5_error"])},
        int(content["count"]),
        "" if bn == "running averages" else bn,
        tuple(run for run in measured if run),
    )

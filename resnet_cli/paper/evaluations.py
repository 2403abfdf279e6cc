"""Reading what `resnet-eval --json FILE` wrote: errors under other views than a run logs
itself, and ensembles.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnet_cli.config.schema import RunConfig, fields_of
from resnet_cli.data.choices import DatasetName
from resnet_cli.paper.prose import Prose
from resnet_cli.paper.reading import UNREADABLE, number, read_json, text, whole
from resnet_cli.paper.runs import Run, passed_over
from resnet_cli.runtime.files import as_file_name

_MOST = 100  # checkpoints or scales of one evaluation
_RUN_FILES = ("result.json", "responses.json", "data.json")


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """One file of resnet-eval: which checkpoints on which images, and their errors in percent."""

    path: Path
    network: str  # several joined by ` + `
    checkpoints: tuple[Path, ...]
    dataset: str
    split: str
    views: str  # single | ten | dense
    scales: tuple[int, ...]  # shorter sides, where several were averaged
    errors: dict[str, float]  # top-1, top-5 where there are more than five classes
    count: int
    bn: str  # which BN statistics
    precision: str
    # the run of each checkpoint: that of its recipe, seed and data, for a whole run of ours
    members: tuple[Run | None, ...]
    doubts: tuple[str, ...]  # why it is not known to measure runs of the paper's recipe

    @property
    def run(self) -> Run | None:
        """The one run it measured, where that is known."""
        return self.members[0] if len(self.members) == 1 else None

    @property
    def told(self) -> str:
        """How was measured, in words."""
        scales = f" at {', '.join(map(str, self.scales))}" if self.scales else ""
        files = sorted({path.name for path in self.checkpoints} - {"last.pt"})
        unfinished = (
            f"of a run {self.run.state} at {self.run.iteration:,} of {self.run.iterations:,}"
            if self.run and not self.run.result
            else ""
        )
        return ", ".join(
            filter(
                None,
                [
                    f"{self.views}{scales}",
                    self.split,
                    f"{self.count:,} images",
                    f"BN {self.bn}" if self.bn else "",
                    self.precision,
                    *files,
                    unfinished,
                ],
            )
        )


def find_evaluations(
    roots: Iterable[Path], runs: Sequence[Run]
) -> tuple[list[Evaluation], list[Prose]]:
    """Every evaluation among or below `roots`: a *.json that has a top1_error.

    Others are no business of ours.
    """
    found, notes = [], []
    files = {file for root in roots for file in (root.rglob("*.json") if root.is_dir() else [root])}
    for path in sorted(file for file in files if file.name not in _RUN_FILES):
        try:
            content = read_json(path, any_shape=True)  # others may write lists
            if "top1_error" in content:
                found.append(_read(path, content, runs))
            elif path in roots:
                raise ValueError("it has no top1_error, so it is not from resnet-eval --json")
        except UNREADABLE as error:
            notes.append(passed_over(path, error))
    return found, notes


def _read(path: Path, content: dict[str, Any], runs: Sequence[Run]) -> Evaluation:
    """One file. Raises one of UNREADABLE."""
    checkpoints = tuple(Path(text(one)) for one in list(content["checkpoints"])[:_MOST])
    trained, data = content.get("trained"), content.get("data")
    count_of_classes = content.get("classes")
    classes = data.get("fingerprint") if isinstance(data, dict) else None
    if isinstance(trained, list) and len(trained) == len(checkpoints):
        trained = [one if isinstance(one, dict) else {} for one in trained]
        members = tuple(_run_of(one, classes, runs) for one in trained)
        doubts = tuple(_doubt(one, run) for one, run in zip(trained, members, strict=True))
    else:  # an older version's, which told no more than where its checkpoints lay
        members = tuple(_run_around(checkpoint, runs) for checkpoint in checkpoints)
        doubts = ("the file does not say which recipe was trained",)
    known = next((run.dataset for run in members if run), None)
    return Evaluation(
        path=path,
        network=text(content["network"]),
        checkpoints=checkpoints,
        dataset=known or _label(text(content["dataset"]), content.get("classes")),
        split=text(content["split"]),
        views=text(content.get("views"), otherwise="single"),
        scales=tuple(whole(side) for side in list(content.get("scales") or ())[:_MOST]),
        errors={
            name: number(content[key], lowest=0, highest=100)
            for name, key in (("top-1", "top1_error"), ("top-5", "top5_error"))
            if name == "top-1" or count_of_classes is None or whole(count_of_classes) > 5
        },
        count=whole(content["count"]),
        bn=text(content.get("bn"), otherwise=""),
        precision=text(content.get("precision"), otherwise=""),
        members=members,
        doubts=tuple(dict.fromkeys(filter(None, doubts))),
    )


def _run_of(trained: dict[str, Any], classes: Any, runs: Sequence[Run]) -> Run | None:
    """The run with this recipe, seed and data; whichever folder it lies in by now."""
    recipe = trained.get("recipe")
    if not isinstance(recipe, dict):
        return None
    return next(
        (
            run
            for run in runs
            if run.seed == trained.get("seed")
            and run.network == trained.get("network")
            and run.data.fingerprint in (None, classes)
            and _same(recipe, json.loads(run.recipe))
        ),
        None,
    )


def _same(told: dict[str, Any], run: dict[str, Any]) -> bool:
    """Whether an evaluation's recipe is a run's. Neither what computed nor how many images were
    tested is part of it.
    """
    free = {"precision", "dataset.test_images"}
    usual = {name: one.default for name, one in fields_of(RunConfig)}  # of keys it did not have yet
    return all(
        told.get(key, usual.get(key)) == run.get(key) for key in (told.keys() | run.keys()) - free
    )


def _doubt(trained: dict[str, Any], run: Run | None) -> str:
    """Why a checkpoint is not known to be a whole run of the paper's recipe."""
    if not isinstance(trained.get("recipe"), dict):
        return "weights of another project"
    if run is None:
        return "of no run that was given to resnet-report"
    if trained.get("iteration") != run.iterations:
        return f"a checkpoint of iteration {whole(trained['iteration'])} of {run.iterations}"
    if run.result is None:
        return "of a run that is not finished"
    return ", ".join(run.deviations)


def _run_around(checkpoint: Path, runs: Sequence[Run]) -> Run | None:
    """The run whose folder a checkpoint lies in, or lay in: RUN/checkpoints/last.pt."""
    above = checkpoint.resolve().parents
    tail = checkpoint.parts[:-2]
    return next(
        (
            run
            for run in runs
            if run.folder.resolve() in above
            or (len(tail) > 1 and run.folder.resolve().parts[-len(tail) :] == tail)
        ),
        None,
    )


def _label(dataset: str, classes: Any) -> str:
    """`imagenet-20` for 20 classes that are not ImageNet's; a folder of photographs has its own
    name.
    """
    if dataset not in set(DatasetName):
        return as_file_name(dataset) or "photographs"
    if dataset != DatasetName.imagenet or classes in (None, 1000):
        return dataset
    return f"{dataset}-{whole(classes)}"

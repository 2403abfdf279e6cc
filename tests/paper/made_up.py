"""Run folders and evaluations with made-up errors and composed configs, as the commands leave
them.
"""

import copy
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from resnet_cli.analysis.identity import NOT_TRAINED
from resnet_cli.config import compose
from resnet_cli.config.plain import from_plain, to_plain, trained
from resnet_cli.data.identity import fingerprint

FULL = {"cifar10": 64_000, "imagenet": 600_000}
IMAGENET = {
    "classes": [f"n{number:08}" for number in range(1000)],
    "images": {"train": 1_281_167, "val": 50_000},
}


@cache
def _composed(*overrides: str) -> dict[str, Any]:
    (job,), _ = compose.jobs(list(overrides), multirun=False)
    return to_plain(job.config)


def config(network: str, *overrides: str, dataset: str = "cifar10") -> dict[str, Any]:
    """What `resnet-train model=NETWORK` writes down, `network` being called as resnet34-B."""
    name, _, shortcut = network.partition("-")
    words = [f"model={name}", f"dataset={dataset}", *([f"shortcut={shortcut}"] * bool(shortcut))]
    return copy.deepcopy(_composed(*words, *overrides))


def make_run(
    root: Path,
    network: str,
    *overrides: str,
    seed: int = 0,
    errors: Sequence[float] = (50.0, 10.0),
    done: bool = True,
    dataset: str = "cifar10",
    every: int = 100,
    iterations: int | None = None,
    commit: str = "abc",
    data: dict[str, Any] | None = None,
    result: dict[str, Any] | None = None,
) -> Path:
    """A run with held-out `errors` at iterations `every`, twice that, ...; its training errors are
    half of them.

    `iterations` of the schedule: as many as there are, unless said. `overrides` as on the command
    line. `data`: data.json's; ImageNet's where that is the data. `result`: more of result.json.
    """
    held_out = "val/error" if dataset == "imagenet" else "test/error"
    iterations = iterations or every * len(errors)
    tree = config(network, *overrides, dataset=dataset)
    tree["seed"] = seed
    if "eval_every" in trained(tree):  # as `scale=` does
        part = iterations / tree["schedule"]["iterations"]
        tree["eval_every"] = max(1, round(part * tree["eval_every"]))
    tree["schedule"]["iterations"] = iterations
    from_plain(tree)
    middle = [] if iterations == FULL.get(dataset) else [f"schedule.iterations={iterations}"]
    middle = [",".join([*overrides, *middle])] if overrides or middle else []
    folder = root.joinpath(dataset, network, *middle, f"seed{seed}")
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(json.dumps(tree))
    if data or dataset == "imagenet":
        (folder / "data.json").write_text(json.dumps(data or IMAGENET))
    lines = [
        {"iteration": every * (n + 1), "train/error": error / 2, held_out: error}
        for n, error in enumerate(errors)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if done:
        final = {"train_error": errors[-1] / 2, "val_error": None, "test_error": None}
        final[held_out.replace("/", "_")] = errors[-1]
        best = min(range(len(errors)), key=errors.__getitem__)
        chosen_on = "validation" if dataset == "imagenet" else "test"
        content = {
            "network": network,
            "config": tree,
            "final": final,
            "best": {
                "iteration": every * (best + 1),
                "error": errors[best],
                "chosen_on": chosen_on,
            },
            "precision": "fp32",
            "command": f"resnet-train model={network.partition('-')[0]} seed={seed}",
            "commit": commit,
            "versions": {"resnet_cli": "0"},
        }
        (folder / "result.json").write_text(json.dumps(content | (result or {})))
    return folder


def make_evaluation(
    path: Path,
    network: str,
    *runs: Path,
    views: str,
    top1: float,
    top5: float = 5.0,
    checkpoint: str = "checkpoints/last.pt",
    **more: Any,
) -> Path:
    """What `resnet-eval --json` writes of the last checkpoints of runs."""
    content = {
        "top1_error": top1,
        "top5_error": top5,
        "loss": 1.0,
        "count": 50_000,
        "network": network,
        "checkpoints": [str(run / checkpoint) for run in runs],
        "dataset": "imagenet",
        "classes": 1000,
        "split": "val",
        "views": views,
        "bn": "running averages",
        "precision": "fp32",
        "device": "none",
        "trained": [_trained(run) for run in runs],
        "data": _data(runs[0]) if runs else {},
    }
    if views == "dense":
        content["scales"] = [224, 256, 384, 480, 640]
    path.write_text(json.dumps(content | more))
    return path


def _trained(run: Path) -> dict[str, Any]:

    tree = json.loads((run / "config.yaml").read_text())
    name, *_, _ = run.relative_to(next(p for p in run.parents if p.name in FULL)).parts
    return {
        "network": name,
        "stride_in": tree["model"]["stride_in"],
        "seed": tree["seed"],
        "iteration": tree["schedule"]["iterations"],
        "recipe": {key: value for key, value in trained(tree).items() if key not in NOT_TRAINED},
    }


def _data(run: Path) -> dict[str, Any]:

    if not (run / "data.json").is_file():
        return {}
    kept = json.loads((run / "data.json").read_text())
    return {"fingerprint": fingerprint(kept["classes"]), "images": kept.get("images", {})}

"""Run folders and evaluations with made-up errors, as the commands leave them."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

FULL = {"cifar10": 64_000, "imagenet": 600_000}


def make_run(
    root: Path,
    network: str,
    *,
    seed: int = 0,
    errors: Sequence[float] = (50.0, 10.0),
    done: bool = True,
    dataset: str = "cifar10",
    every: int = 100,
    iterations: int | None = None,
    commit: str = "abc",
    **config: Any,
) -> Path:
    """A run with held-out `errors` at iterations `every`, twice that, ...; its training errors are
    half of them.

    `iterations` of the schedule: as many as there are, unless said. `config`: values on top, as
    `batch_size=64`.
    """
    held_out = "val/error" if dataset == "imagenet" else "test/error"
    iterations = iterations or every * len(errors)
    middle = [] if iterations == FULL.get(dataset) else [f"schedule.iterations={iterations}"]
    folder = root.joinpath(dataset, network, *middle, f"seed{seed}")
    folder.mkdir(parents=True)
    name, _, shortcut = network.partition("-")
    depth = int(re.sub(r"\D", "", name))
    family = "imagenet" if dataset == "imagenet" else "cifar"
    tree = {
        "model": {"family": family, "depth": depth},
        "shortcut": shortcut or "none",
        "dataset": {"name": dataset},
        "seed": seed,
    }
    tree |= {"schedule": {"iterations": iterations}, **config}
    (folder / "config.yaml").write_text(json.dumps(tree))
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
        result = {
            "network": network,
            "config": tree,
            "final": final,
            "best": {
                "iteration": every * (best + 1),
                "error": errors[best],
                "chosen_on": chosen_on,
            },
            "command": f"resnet-train model={name} seed={seed}",
            "commit": commit,
            "versions": {"resnet_cli": "0"},
        }
        (folder / "result.json").write_text(json.dumps(result))
    return folder


def make_evaluation(
    path: Path, network: str, *checkpoints: Path, views: str, top1: float, top5: float, **more: Any
) -> Path:
    """What `resnet-eval --json` writes."""
    about = {"dataset": "imagenet", "split": "val", "count": 50_000, "loss": 1.0} | more
    files = [str(one / "checkpoints/last.pt") for one in checkpoints]
    path.write_text(
        json.dumps(
            {
                "network": network,
                "checkpoints": files,
                "views": views,
                "top1_error": top1,
                "top5_error": top5,
            }
            | about
        )
    )
    return path

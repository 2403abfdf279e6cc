"""What resnet-eval does: the errors of checkpoints, and what they were measured with."""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from resnet_cli.analysis import per_class
from resnet_cli.analysis.classes import hint_near_chance, output_names
from resnet_cli.analysis.identity import identity
from resnet_cli.analysis.measure import choose_protocol, evaluate, open_all, set_up
from resnet_cli.analysis.publish import export_subject
from resnet_cli.analysis.trained import in_fp32
from resnet_cli.evaluation import predictions
from resnet_cli.evaluation.card import Measured
from resnet_cli.evaluation.choices import Views
from resnet_cli.evaluation.metrics import Errors
from resnet_cli.evaluation.predictions import Predictions
from resnet_cli.evaluation.protocol import default_scales
from resnet_cli.runtime.device import describe, precision_name


def measure_errors(
    options: argparse.Namespace, *, paths: list[Path], overrides: list[str]
) -> tuple[Errors, dict[str, Any]]:
    """What --ckpt asks for: errors, and what they were measured with.

    Raises UserError and DataError.
    """
    if options.export:
        overrides = in_fp32(overrides)  # as the file is going to be measured
    subjects = open_all(paths, overrides)  # before the data: a foreign network is told at once
    protocol = choose_protocol(options.views, options.scales, subjects[0])
    population = options.bn == "population"
    bench = set_up(subjects)
    split = options.split or ("test" if bench.dataset.test is not None else "val")
    test = bench.test(split, protocol)
    about: dict[str, Any] = {"network": " + ".join(one.name for one in subjects)}
    about |= {
        "checkpoints": [str(one.path) for one in subjects],
        "dataset": str(bench.dataset.name),
    }
    if averaged := [f"decay {one.config.ema:g}" for one in subjects if one.config.ema]:
        about["weights"] = f"averaged over the steps, {', '.join(averaged)}"
    about |= {"classes": len(bench.dataset.classes), "split": split}
    if bench.outputs:
        knows = subjects[0].network.architecture.num_classes
        about["matched"] = f"by their names, among the network's {knows:,} classes"
    about["views"] = str(protocol.views) if protocol else str(Views.single)
    if protocol and protocol.views is Views.dense:
        about["scales"] = list(protocol.scales or default_scales(protocol.image_size))
    about["bn"] = (
        f"over {bench.measure_statistics(options.bn_images):,} training images"
        if population
        else "running averages"
    )
    wants_scores = options.predictions is not None or options.per_class is not None
    errors, kept = evaluate(bench, test, keep=wants_scores)
    if bench.bad.found:
        about["skipped"] = bench.bad.found
    about |= {"precision": precision_name(bench.dtype), "device": describe(bench.device)}
    about |= identity(subjects, bench.dataset)
    if options.export:
        told = {
            one.name: about[one.name] for one in dataclasses.fields(Measured) if one.name in about
        }
        measured = Measured(**dataclasses.asdict(errors), **told)
        export_subject(subjects[0], options.export, measured=measured)
        print(f"exported to {options.export}", file=sys.stderr)
    if kept is not None:
        names = output_names(subjects[0], bench.dataset, bench.outputs)
        _keep(options, dataclasses.replace(kept, about=dict(about)), names)
    if hint := hint_near_chance(subjects, top1_error=errors.top1_error):
        about["hint"] = hint
    return errors, about


def _keep(options: argparse.Namespace, kept: Predictions, names: Sequence[str]) -> None:
    """What --predictions and --per-class ask for; `names` are those of the network's outputs."""
    if options.predictions and options.predictions.suffix == ".csv":
        per_class.write_predictions(kept, names, options.predictions)
    elif options.predictions:
        predictions.write(kept, options.predictions)
    if options.per_class:
        files = per_class.write_per_class(kept, names, options.per_class)
        told = ", ".join(file.name for file in files)
        print(f"the errors of each class are in {options.per_class}: {told}", file=sys.stderr)


def average_errors(options: argparse.Namespace) -> tuple[Errors, dict[str, Any]]:
    """What --average asks for: the ensemble of kept scores. Raises UserError."""
    kept = predictions.average(options.average)
    if options.predictions:
        predictions.write(kept, options.predictions)
    return predictions.errors(kept), kept.about | {
        "predictions": [str(path) for path in options.average]
    }

"""What resnet-eval answers: errors, the likeliest classes of pictures, or a file for others."""

import argparse
import dataclasses
import json
from pathlib import Path

import torch

from resnet_cli.analysis import per_class
from resnet_cli.analysis.errors import average_errors, measure_errors
from resnet_cli.analysis.publish import export_program
from resnet_cli.analysis.recognise import recognise
from resnet_cli.analysis.subject import open_subject
from resnet_cli.evaluation.choices import PROGRAMS
from resnet_cli.runtime.console import Console, rows
from resnet_cli.runtime.errors import Failed


def _show_pictures(found: dict[str, list[tuple[str, float]]]) -> None:
    for path, likeliest in found.items():
        print(path)
        print("\n".join(f"  {100 * probability:5.1f} %  {name}" for name, probability in likeliest))


def run(options: argparse.Namespace, paths: list[Path], overrides: list[str]) -> int:
    """Raises UserError, DataError and Failed."""
    if options.images:
        found = recognise(paths, overrides, options.images)
        _show_pictures(found)
        if options.predictions:
            per_class.write_recognised(found, options.predictions)
        if options.json:
            options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        return 0
    if options.export and options.export.suffix in PROGRAMS:
        subject = open_subject(paths[0], overrides)
        export_program(subject, options.export)
        print(f"{subject.name} exported to {options.export}: pixels in, probabilities out")
        return 0
    try:
        errors, about = (
            average_errors(options)
            if options.average
            else measure_errors(options, paths=paths, overrides=overrides)
        )
    except torch.OutOfMemoryError as error:
        raise Failed(
            f"out of memory: {str(error).splitlines()[0]}; try fewer or smaller --scales, or "
            "device=cpu"
        ) from error
    figures = dataclasses.asdict(errors)
    top5 = about.get("classes", 10) > 5
    if not top5:
        figures["top5_error"] = None  # no image can be one
    if options.json:
        options.json.write_text(json.dumps(figures | about, indent=2) + "\n", encoding="utf-8")
    told = [
        (name, ", ".join(map(str, value)) if isinstance(value, list) else value)
        for name, value in about.items()
        # for resnet-report, in the file; and for the end
        if name not in ("trained", "data", "hint")
    ]
    told += [
        ("top-1 error", f"{errors.top1_error:.2f} %"),
        *([("top-5 error", f"{errors.top5_error:.2f} %")] if top5 else []),
        ("images", f"{errors.count:,}"),
    ]
    print(rows(told))
    print(json.dumps({name: figures[name] for name in ("top1_error", "top5_error", "count")}))
    if "hint" in about:
        Console("resnet-eval").warn(about["hint"])
    return 0

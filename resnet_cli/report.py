"""resnet-report: a table and a figure from run folders, finished or still running."""

import argparse
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from resnet_cli.errors import UserError, run_command
from resnet_cli.paper.figures import draw_degradation
from resnet_cli.paper.runs import Run, find
from resnet_cli.paper.tables import error_table

EXAMPLES = """examples:
  resnet-report runs                       everything below runs/, into report/
  resnet-report runs/cifar10 --out figures
"""
CAPTION = "Dashed: training error, running over augmented mini-batches. Bold: test error. Nothing is smoothed."


def comparable(runs: Sequence[Run]) -> list[Run]:
    """The runs to draw together: of the setting with the most networks, the longest where several have as many; its first seeds."""
    settings: dict[tuple[str, int], dict[str, Run]] = {}
    for run in runs:
        settings.setdefault((run.setting, run.iterations), {}).setdefault(run.network, run)
    (_, _), chosen = max(settings.items(), key=lambda item: (len(item[1]), item[0][1]))
    return list(chosen.values())


def provenance(result: dict[str, Any]) -> str:
    """The command and the commit (or version) that made a result."""
    return f"`{result['command']}` at {result['commit'] or 'version ' + result['versions']['resnet_cli']}"


def write(runs: Sequence[Run], notes: Sequence[str], out: Path) -> str:
    """Writes report.md and a figure a data set into `out`; returns the report's text."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out {out}: cannot make this folder: {error.strerror}") from error
    parts = ["# Plain and residual networks, from our runs", ""]
    for dataset in sorted({run.dataset for run in runs}):
        of = [run for run in runs if run.dataset == dataset]
        drawn = comparable(of)
        picture = out / f"degradation-{dataset}.png"
        seeds = ", ".join(str(seed) for seed in sorted({run.seed for run in drawn}))
        setting = "\n" + textwrap.fill(drawn[0].setting.replace(",", ", "), 110) if drawn[0].setting else ""
        draw_degradation(drawn, picture, title=f"{dataset}: plain and residual networks, seed {seeds}{setting}")
        others = [str(run.folder) for run in of if run not in drawn]
        left_out = [f"Not drawn, being of another setting or seed: {', '.join(others)}.", ""] if others else []
        parts += [f"## {dataset}", "", f"![training and test error]({picture.name})", "", CAPTION, "", *left_out, error_table(of), ""]
        parts += [
            "Errors of the last iterate; of several seeds: best (mean ± std), for each column by itself.",
            "",
            "Commands and commits:",
            "",
        ]
        parts += [f"- {provenance(run.result)}" for run in of if run.result]
        parts += [""]
    parts += [f"- {note}" for note in notes]
    text = "\n".join(parts).rstrip() + "\n"
    (out / "report.md").write_text(text)
    return text


def main_checked(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        "resnet-report", description=f"{__doc__}\n\n{EXAMPLES}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUNS", help="run folders, or folders above them")
    parser.add_argument("--out", type=Path, default=Path("report"), metavar="DIR", help="where to write (default: report)")
    options = parser.parse_args(arguments)
    for root in options.runs:
        if not root.is_dir():
            raise UserError(f"{root}: no such folder")
    runs, notes = find(options.runs)
    if not runs:
        raise UserError(f"no runs below {', '.join(map(str, options.runs))}: no folder there holds a readable metrics.jsonl")
    print(write(runs, notes, options.out))
    print(f"written to {options.out / 'report.md'}")
    return 0


def main() -> int:
    return run_command("resnet-report", lambda: main_checked(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())

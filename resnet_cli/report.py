"""resnet-report: a table and a figure from run folders, finished or still running."""

import argparse
import sys
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


def one_per_network(runs: Sequence[Run]) -> list[Run]:
    """The longest run of each network, the first seed where several are as long."""
    chosen: dict[str, Run] = {}
    for run in runs:
        if run.network not in chosen or run.iterations > chosen[run.network].iterations:
            chosen[run.network] = run
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
        drawn = one_per_network(of)
        picture = out / f"degradation-{dataset}.png"
        seeds = sorted({run.seed for run in drawn})
        draw_degradation(drawn, picture, title=f"{dataset}: plain and residual networks, seed {', '.join(map(str, seeds))}")
        parts += [f"## {dataset}", "", f"![training and test error]({picture.name})", "", CAPTION, "", error_table(of), ""]
        parts += ["Errors of the last iterate; of several seeds: best (mean ± std).", "", "Commands and commits:", ""]
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

"""resnet-report: the paper's figures and tables from run folders, finished or still running,
ours beside theirs.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from resnet_cli.analysis import responses
from resnet_cli.paper import figure7
from resnet_cli.paper.blocks import Block
from resnet_cli.paper.document import overview, report, table_page
from resnet_cli.paper.draw import draw
from resnet_cli.paper.evaluations import find_evaluations
from resnet_cli.paper.figures import Plot, degradation, frames, papers_figure, whole_schedule
from resnet_cli.paper.markdown import to_markdown
from resnet_cli.paper.page import to_html
from resnet_cli.paper.prose import Code, Prose, clean, plain, prose
from resnet_cli.paper.published import TABLES
from resnet_cli.paper.reading import UNREADABLE, why
from resnet_cli.paper.runs import Run, find
from resnet_cli.paper.tables import Table, make_table
from resnet_cli.paper.tensorboard import show_on_board
from resnet_cli.runtime.errors import UserError, run_command
from resnet_cli.training.logbook import METRICS

EXAMPLES = """examples:
  resnet-report runs                       everything below runs/, into report/
  resnet-report runs/cifar10 --out figures
  resnet-report runs evaluations/*.json    with what `resnet-eval --json FILE` measured
                                           (files below runs are found)

writes report.md, report.html (one file, opens without network), figure1, 4, 6 and 7 and
degradation-DATASET as PNG and SVG (those there is anything for), table2 ... 6 as Markdown and CSV;
and the figures for TensorBoard beside the runs, in report/
"""


def responses_of(runs: Sequence[Run]) -> tuple[Plot | None, list[Prose]]:
    """Figure 7, and what could not be measured for it, in words."""
    measured, notes, images = [], [], 0
    root = os.environ.get("RESNET_DATA", "data")
    for run in figure7.to_measure(
        [run for run in runs if run.result and responses.can_measure(run.folder)]
    ):
        try:
            found = responses.of_run(run.folder, network=run.network, root=root)
        except (UserError, RuntimeError, *UNREADABLE) as error:
            told = str(error) if isinstance(error, UserError) else why(error)
            notes.append(prose(f"Figure 7 lacks {run.network}: {told}"))
            continue
        measured.append((run, found.std))
        images = found.images
    return figure7.figure7(measured, images=images), notes


def parse(arguments: list[str]) -> argparse.Namespace:
    """Raises UserError for a root that is not there."""
    parser = argparse.ArgumentParser(
        "resnet-report",
        description=f"{__doc__}\n\n{EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "runs",
        nargs="+",
        type=Path,
        metavar="RUNS",
        help="run folders, folders above them, files of resnet-eval --json",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("report"),
        metavar="DIR",
        help="where to write (default: report)",
    )
    options = parser.parse_args(arguments)
    for root in options.runs:
        if not root.exists():
            raise UserError(f"{clean(str(root))}: no such folder or file")
    return options


def main_checked(arguments: list[str]) -> int:
    options = parse(arguments)
    runs, notes = find(options.runs)
    evaluations, more = find_evaluations(options.runs, runs)
    if not runs and not evaluations:
        reasons = "".join(f"; {plain(note)}" for note in notes + more)
        raise UserError(
            f"no runs below {', '.join(clean(str(root)) for root in options.runs)}: no folder "
            f"there holds a readable metrics.jsonl{reasons}"
        )
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"--out {options.out}: cannot make this folder: {error.strerror}"
        ) from error
    empty = [
        root
        for root in options.runs
        if root.is_dir() and not any(root.rglob(METRICS)) and not any(root.rglob("*.json"))
    ]
    notes += [prose(Code(str(root)), ": no run is below it") for root in empty]
    datasets = list(dict.fromkeys(run.dataset for run in runs))
    if len(datasets) > 1:
        notes.append(
            prose(
                f"{' and '.join(datasets)} are different data: no figure and no row of a table "
                "mixes them"
            )
        )
    seventh, unmeasured = responses_of(runs)
    figures = [degradation([run for run in runs if run.dataset == dataset]) for dataset in datasets]
    figures += [
        draw_from(frame, runs)
        for frame in frames()
        for draw_from in (whole_schedule, papers_figure)
    ] + [seventh]
    plots = [plot for plot in figures if plot]
    tables = [make_table(paper, runs, evaluations) for paper in TABLES]
    notes += more + unmeasured
    for plot in plots:
        draw(plot, options.out)
    pictures = {options.out / f"{plot.name}.png": plot.dataset for plot in plots}
    try:
        boards = show_on_board(pictures, runs)
    except OSError as error:
        boards = []
        where = clean(str(error.filename or options.runs[0]))
        notes.append(prose(f"no figures for TensorBoard: {where}: {why(error)}"))
    write(options.out, report(runs, evaluations, plots, tables, notes), tables)
    print(to_markdown(overview(runs, notes)))
    print(f"written to {options.out / 'report.md'} and {options.out / 'report.html'}")
    for folder in boards:
        print(f"figures for TensorBoard in {clean(str(folder))}")
    return 0


def write(out: Path, blocks: Sequence[Block], tables: Sequence[Table]) -> None:
    """The report and the tables, into a folder that holds the figures."""
    files = {"report.md": to_markdown(blocks), "report.html": to_html(blocks, folder=out)}
    for table in tables:
        files[f"table{table.paper.number}.md"] = to_markdown(table_page(table))
        files[f"table{table.paper.number}.csv"] = table.csv()
    for name, content in files.items():
        (out / name).write_text(content, encoding="utf-8")


def main() -> int:
    return run_command("resnet-report", lambda: main_checked(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())

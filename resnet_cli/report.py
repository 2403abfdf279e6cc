"""resnet-report: the paper's figures and tables from run folders, finished or still running,
ours beside theirs.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from resnet_cli.paper import before_after, figure7, responses
from resnet_cli.paper.blocks import Block, Heading, Items, Words
from resnet_cli.paper.document import datasets_of, overview, report, table_page
from resnet_cli.paper.draw import draw
from resnet_cli.paper.evaluations import Evaluation, find_evaluations
from resnet_cli.paper.figures import degradation, papers_figure, whole_schedule
from resnet_cli.paper.frames import frames
from resnet_cli.paper.markdown import to_markdown
from resnet_cli.paper.page import to_html
from resnet_cli.paper.plot import Plot
from resnet_cli.paper.prose import Code, Prose, clean, plain, prose
from resnet_cli.paper.published import TABLES
from resnet_cli.paper.reading import UNREADABLE, why
from resnet_cli.paper.runs import Run, find, title_of
from resnet_cli.paper.tables import Table, make_table
from resnet_cli.paper.tensorboard import show_on_board
from resnet_cli.paper.terminal import show
from resnet_cli.paper.why.chapter import chapter, files_below, findings
from resnet_cli.runtime.errors import UserError, run_command
from resnet_cli.training.metrics import METRICS

_FORMATS = ("png", "svg", "pdf")
EXAMPLES = """examples:
  resnet-report runs                       everything below runs/, into report/
  resnet-report runs/cifar10 --out figures
  resnet-report runs --format pdf          the figures as PDF, too
  resnet-report runs evaluations/*.json    with what `resnet-eval --json FILE` measured
                                           (files below runs are found)
  resnet-report runs analysis              with what resnet-analyze left in analysis/

writes report.md, report.html (one file, opens without network), figure1, 4, 6 and 7 and
degradation-DATASET as PNG and SVG (those there is anything for), table2 ... 6 as Markdown and CSV;
and the figures for TensorBoard beside the runs, in report/. CIFAR-10, for Figure 7, is looked for
in $RESNET_DATA, else in data/
"""


def _responses_of(runs: Sequence[Run]) -> tuple[Plot | None, list[Prose]]:
    """Figure 7, and what could not be measured for it, in words."""
    measured, notes, images = [], [], 0
    root = os.environ.get("RESNET_DATA", "data")
    for run in figure7.to_measure(
        [run for run in runs if run.result and responses.can_show(run.folder)]
    ):
        try:
            found = responses.kept(run.folder) or _measure(run, root=root)
        except (UserError, RuntimeError, *UNREADABLE) as error:
            told = str(error) if isinstance(error, UserError) else why(error)
            notes.append(prose(f"Figure 7 lacks {run.network}: {told}"))
            continue
        measured.append((run, found.std))
        images = found.images
    return figure7.figure7(measured, images=images), notes


def _measure(run: Run, *, root: str) -> responses.Responses:
    from resnet_cli.analysis.responses import of_run  # not at the top: it wakes PyTorch

    return of_run(run.folder, network=run.network, root=root)


def _parse(arguments: list[str]) -> argparse.Namespace:
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
        "--format",
        nargs="+",
        choices=_FORMATS,
        default=[],
        metavar="KIND",
        help="write the figures as pdf, too (png and svg are what the report shows)",
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


def _read(roots: Sequence[Path]) -> tuple[list[Run], list[Evaluation], list[Prose]]:
    """What is below `roots`, and what had to be passed over. Raises UserError for nothing."""
    runs, notes = find(roots)
    evaluations, more = find_evaluations(roots, runs)
    if not runs and not evaluations:
        reasons = "".join(f"; {plain(note)}" for note in notes + more)
        raise UserError(
            f"no runs below {', '.join(clean(str(root)) for root in roots)}: no folder there "
            f"holds a readable metrics.jsonl{reasons}"
        )
    for root in roots:
        if root.is_dir() and not any(root.rglob(METRICS)) and not any(root.rglob("*.json")):
            if files_below([root]):
                continue
            notes.append(prose(Code(str(root)), ": no run is below it"))
    there = [title_of(name) for name in datasets_of(runs, [])]
    if len(there) > 1:
        told = f"{'; '.join(there)}: different data, which no figure and no row of a table mixes"
        notes.append(prose(told))
    return runs, evaluations, notes + more


def _plots(runs: Sequence[Run], seventh: Plot | None) -> list[Plot]:
    """All figures: the paper's, then plain beside residual networks of each data set, where no
    figure of the paper shows the same runs.
    """
    papers = [
        draw_from(frame, runs)
        for frame in frames()
        for draw_from in (papers_figure, whole_schedule)
    ]
    plots = [plot for plot in (*papers, seventh) if plot]
    shown = [set(map(id, plot.runs)) for plot in plots]
    for dataset in datasets_of(runs, []):
        plot = degradation([run for run in runs if run.dataset == dataset])
        if plot and not any(set(map(id, plot.runs)) <= them for them in shown):
            plots.append(plot)
    return plots


def _on_board(plots: Sequence[Plot], runs: Sequence[Run]) -> tuple[list[Path], list[Prose]]:
    """The figures beside the runs' TensorBoard events; where, and what went wrong."""
    try:
        return show_on_board(plots, runs), []
    except OSError as error:
        where = prose(" in ", Code(str(error.filename))) if error.filename else ()
        return [], [prose("No figures for TensorBoard", where, f": {why(error)}")]


def main_checked(arguments: list[str]) -> int:
    options = _parse(arguments)
    runs, evaluations, notes = _read(options.runs)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"--out {options.out}: cannot make this folder: {error.strerror}"
        ) from error
    seventh, unmeasured = _responses_of(runs)
    plots = _plots(runs, seventh)
    tables = [make_table(paper, runs, evaluations) for paper in TABLES]
    formats = list(dict.fromkeys(("png", "svg", *options.format)))
    for plot in plots:
        draw(plot, options.out, formats=formats)
    boards, failed = _on_board(plots, runs)
    found, unread = findings(options.runs, options.out, formats=formats)
    notes += unmeasured + failed + unread
    before_after.draw(runs, options.out, formats=formats)
    further = [*chapter(found), *before_after.chapter(runs)]
    blocks = report(runs, evaluations, plots, tables, notes, further)
    _write(options.out, blocks, tables)
    written: list[Words] = [
        *(Code(str(options.out / name)) for name in ("report.html", "report.md")),
        *(prose(Code(str(folder)), ": the figures for TensorBoard") for folder in boards),
    ]
    show([*overview(runs, plots, notes), Heading("Written"), Items(written)])
    return 0


def _write(out: Path, blocks: Sequence[Block], tables: Sequence[Table]) -> None:
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

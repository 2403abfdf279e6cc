"""The report's numbers against hand-computed ones, its figure's data against the logs."""

import json
from pathlib import Path

import pytest

from resnet_cli.paper import figures
from resnet_cli.paper.numbers import CIFAR10_TEST_ERROR
from resnet_cli.paper.runs import Run, find
from resnet_cli.paper.tables import error_table, spread
from resnet_cli.report import comparable, write
from tests.conftest import Command


def make_run(
    root: Path, network: str, *, seed: int = 0, errors: tuple[float, ...] = (50.0, 10.0), done: bool = True, **config: object
) -> Path:
    """A run folder as resnet-train leaves it, with made-up errors at iterations 100, 200, ..."""
    folder = root / str(config.get("dataset", "cifar10")) / network / f"seed{seed}"
    folder.mkdir(parents=True)
    name, _, shortcut = network.partition("-")
    tree = {
        "model": {"depth": int("".join(filter(str.isdigit, name)))},
        "shortcut": shortcut or "none",
        "dataset": {"name": config.get("dataset", "cifar10")},
        "seed": seed,
        "schedule": {"iterations": 100 * len(errors)},
    }
    (folder / "config.yaml").write_text(json.dumps(tree))
    lines = [{"iteration": 100 * (n + 1), "train/error": error / 2, "test/error": error} for n, error in enumerate(errors)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if done:
        result = {"config": tree, "command": f"resnet-train model={name}", "commit": "abc", "versions": {"resnet_cli": "0"}}
        (folder / "result.json").write_text(json.dumps(result))
    return folder


def test_the_papers_table_6_is_typed_right() -> None:
    assert list(CIFAR10_TEST_ERROR.values()) == [8.75, 7.51, 7.17, 6.97, 6.43, 7.93]


def test_several_seeds_are_best_mean_and_sample_std() -> None:
    assert spread([6.43, 6.61, 6.79]) == "6.43 (6.61 ± 0.18)"
    assert spread([8.75]) == "8.75"


def test_the_table_has_a_row_a_network_plain_first(tmp_path: Path) -> None:
    for seed, last in enumerate((8.0, 9.0, 8.5)):
        make_run(tmp_path, "resnet20-A", seed=seed, errors=(50.0, last))
    make_run(tmp_path, "plain20", errors=(60.0, 12.0))
    make_run(tmp_path, "resnet56-A", errors=(60.0, 30.0), done=False)
    runs, notes = find([tmp_path])
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in error_table(runs).splitlines()[2:]]
    assert notes == []
    assert rows == [
        ["plain20", "200", "0", "6.00", "12.00", "about 9.5 (Fig. 6)"],
        ["resnet20-A", "200", "0, 1, 2", "4.00 (4.25 ± 0.25)", "8.00 (8.50 ± 0.50)", "8.75"],
        ["resnet56-A", "200 of 200, running", "0", "15.00", "30.00", "6.97"],
    ]


def test_other_recipes_are_no_seeds(tmp_path: Path) -> None:
    make_run(tmp_path / "a", "plain20", errors=(60.0, 12.0))
    other = make_run(tmp_path / "b", "plain20", errors=(60.0, 30.0))
    for name in ("config.yaml", "result.json"):
        (other / name).write_text((other / name).read_text().replace('"seed": 0', '"seed": 0, "batch_size": 64'))
    runs, _ = find([tmp_path])
    assert sorted(line.split("|")[5].strip() for line in error_table(runs).splitlines()[2:]) == ["12.00", "30.00"]


def test_one_seed_counts_once(tmp_path: Path) -> None:
    make_run(tmp_path / "a", "plain20")
    twin = make_run(tmp_path / "b", "plain20", errors=(60.0, 30.0))
    runs, notes = find([tmp_path])
    assert [run.folder.is_relative_to(tmp_path / "a") for run in runs] == [True]
    assert notes == [f"{twin} is the same recipe and seed as {runs[0].folder}, and does not count again"]


def test_only_one_setting_is_drawn_and_the_rest_named(tmp_path: Path) -> None:
    make_run(tmp_path, "plain20")
    make_run(tmp_path, "resnet20-A")
    longer = make_run(tmp_path / "longer", "resnet20-A", errors=(50.0, 20.0, 10.0))
    runs, _ = find([tmp_path])
    assert {(run.network, run.iterations) for run in comparable(runs)} == {("plain20", 200), ("resnet20-A", 200)}
    assert f"Not drawn, being of another setting or seed: {longer}." in write(runs, [], tmp_path / "out")


def test_the_figure_draws_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(tmp_path, "plain56", errors=(70.0, 40.0, 30.0))
    make_run(tmp_path, "resnet56-A", errors=(60.0, 20.0, 10.0))
    drawn: dict[tuple[str, str], list[tuple[float, float]]] = {}
    original = figures.draw_run

    def spy(axes: figures.Axes, run: Run, shade: str, *, scale: float) -> None:
        original(axes, run, shade, scale=scale)
        for line in axes.lines[-2:]:
            points = [(round(x * scale), y) for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)]
            drawn[run.network, str(line.get_linestyle())] = points

    monkeypatch.setattr(figures, "draw_run", spy)
    figures.draw_degradation(find([tmp_path])[0], tmp_path / "figure.png", title="made up")
    assert drawn["plain56", "-"] == [(100, 70.0), (200, 40.0), (300, 30.0)]
    assert drawn["plain56", "--"] == [(100, 35.0), (200, 20.0), (300, 15.0)]
    assert drawn["resnet56-A", "-"][-1] == (300, 10.0)


def test_a_report_of_running_broken_and_finished_runs(command: Command, tmp_path: Path) -> None:
    make_run(tmp_path / "runs", "plain20")
    half = make_run(tmp_path / "runs", "resnet20-A", done=False)
    with (half / "metrics.jsonl").open("a") as file:
        file.write('{"iteration": 300, "train/er')
    bad = make_run(tmp_path / "runs", "plain56", done=False)
    (bad / "config.yaml").write_text("nonsense")
    made = command("resnet-report", tmp_path / "runs", "--out", tmp_path / "out")
    assert made.code == 0
    text = (tmp_path / "out/report.md").read_text()
    assert "1 line(s) could not be read" in text
    assert f"{bad} was passed over" in text
    assert "`resnet-train model=plain20` at abc" in text
    assert (tmp_path / "out/degradation-cifar10.png").read_bytes()[:4] == b"\x89PNG"


def test_nothing_to_report_is_one_line(command: Command, tmp_path: Path) -> None:
    empty = command("resnet-report", tmp_path)
    assert (empty.code, empty.err.count("\n")) == (2, 1)
    assert "no runs below" in empty.err
    assert command("resnet-report", tmp_path / "nowhere").code == 2

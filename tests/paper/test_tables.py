"""Tables from made-up runs against numbers worked out by hand."""

import csv
import io
from pathlib import Path

import pytest

from resnet_cli.paper.evaluations import find_evaluations
from resnet_cli.paper.our_tables import runs_table
from resnet_cli.paper.ours import spread
from resnet_cli.paper.prose import plain
from resnet_cli.paper.published import TABLE_2, TABLE_3, TABLE_4, TABLE_5, TABLE_6, PublishedTable
from resnet_cli.paper.runs import find
from resnet_cli.paper.tables import Table, make_table
from resnet_cli.run.folder import RunFolder
from tests.paper.made_up import make_evaluation, make_run


def table(paper: PublishedTable, root: Path) -> Table:
    runs, _ = find([root])
    evaluations, _ = find_evaluations([root], runs)
    return make_table(paper, runs, evaluations)


def rows(made: Table) -> dict[str, list[str]]:
    """Our rows, by the method's name; the last one where there are several."""
    return {str(row[0]): [str(cell) for cell in row[1:]] for row in made.grid().rows}


def test_several_seeds_are_best_mean_and_sample_std() -> None:
    assert spread([6.43, 6.61, 6.79]) == "6.43 (6.61 ± 0.18)"
    assert spread([8.75]) == "8.75"


def test_table_6_sets_ours_beside_the_papers(tmp_path: Path) -> None:
    for seed, last in enumerate((6.4, 6.7, 6.6)):
        make_run(
            tmp_path,
            "resnet110-A",
            seed=seed,
            errors=(60.0, 6.0 + seed, last),
            iterations=64_000,
            commit="abc",
        )
    make_run(tmp_path, "resnet20-A", errors=(60.0, 20.0), iterations=4000)
    make_run(tmp_path, "resnet56-A", errors=(60.0, 30.0), iterations=64_000, done=False)
    found = rows(table(TABLE_6, tmp_path))
    # best iterates 6.0, 6.7 and 6.6: mean 6.4333, std 0.3786; of the last: mean 6.5667, std 0.1528;
    # 6.5667 - 6.61 = -0.0433
    best = "paper: of five runs; fp32; best iterate 6.00 (6.43 ± 0.38), chosen on test"
    assert found["ResNet-110"] == [
        "6.43 (6.61 ± 0.16)",
        "6.40 (6.57 ± 0.15)",
        "-0.04",
        "3",
        "64,000",
        best,
    ]
    short = [
        "8.75",
        "20.00",
        "+11.25",
        "1",
        "4,000, 1/16 of the paper's 64,000",
        "fp32; best iterate 20.00, chosen on test",
    ]
    assert found["ResNet-20"] == short
    assert found["ResNet-56"] == [
        "6.97",
        "not finished",
        "",
        "",
        "64,000",
        "seed 0 stopped at 200 of 64,000, 30.00 there",
    ]
    assert found["ResNet-32"] == ["7.51", "not run", "", "", "", ""]
    assert found["Maxout"] == ["9.38", "", "", "", "", ""]
    assert (
        plain(table(TABLE_6, tmp_path).sources[-1]) == "resnet-train model=resnet110 seed=2 at abc"
    )


def test_a_whole_schedule_stands_for_the_shorter_ones(tmp_path: Path) -> None:
    make_run(tmp_path, "resnet20-A", errors=(20.0,), iterations=4000)
    make_run(tmp_path, "resnet20-A", errors=(16.0,), iterations=16_000)

    def lines() -> list[tuple[str, str]]:
        found = table(TABLE_6, tmp_path).grid().rows
        return [(str(line[2]), str(line[5])) for line in found if line[0] == "ResNet-20"]

    assert lines() == [
        ("16.00", "16,000, 1/4 of the paper's 64,000"),
        ("20.00", "4,000, 1/16 of the paper's 64,000"),
    ]
    assert table(TABLE_6, tmp_path).title.endswith("CIFAR-10, ours shortened")
    make_run(tmp_path, "resnet20-A", errors=(9.0,), iterations=64_000)
    assert lines() == [("9.00", "64,000")]
    assert table(TABLE_6, tmp_path).title.endswith("CIFAR-10")
    make_run(tmp_path, "resnet32-A", errors=(20.0,), iterations=4000)
    assert table(TABLE_6, tmp_path).title.endswith("some of ours shortened")


def test_another_recipe_is_not_the_papers(tmp_path: Path) -> None:
    make_run(tmp_path, "resnet20-A", "batch_size=64", iterations=64_000)
    assert not table(TABLE_6, tmp_path).has_ours


def test_the_csv_holds_numbers(tmp_path: Path) -> None:
    make_run(tmp_path, "resnet20-A", errors=(9.0,), iterations=64_000)
    lines = list(csv.DictReader(io.StringIO(table(TABLE_6, tmp_path).csv())))
    ours = next(line for line in lines if line["network"] == "resnet20-A")
    assert {
        key: ours[key] for key in ("paper", "n", "best", "mean", "std", "difference", "iterations")
    } == {
        "paper": "8.75",
        "n": "1",
        "best": "9",
        "mean": "9",
        "std": "",
        "difference": "0.25",
        "iterations": "64000",
    }
    assert len(lines) == len(TABLE_6.lines)


def test_imagenet_tables_come_from_evaluations(tmp_path: Path) -> None:
    """Ten views fill Tables 2 and 3, dense ones 4, an ensemble 5; a run's own centre crop none
    of them.
    """
    runs = [
        make_run(
            tmp_path,
            "resnet34-A",
            seed=seed,
            dataset="imagenet",
            iterations=600_000,
            errors=(27.0,),
        )
        for seed in (0, 1)
    ]
    for seed, run in enumerate(runs):
        make_evaluation(
            run / "ten.json", "resnet34-A", run, views="ten", top1=25.0 + seed, top5=7.5 + seed
        )
    other = make_run(tmp_path, "resnet50-B", dataset="imagenet", iterations=60_000, errors=(30.0,))
    make_evaluation(
        other / "dense.json",
        "resnet50-B",
        other,
        views="dense",
        top1=21.0,
        top5=5.5,
    )
    make_evaluation(
        tmp_path / "six.json",
        "resnet34-A + resnet50-B",
        runs[0],
        other,
        views="dense",
        top1=20.0,
        top5=4.57,
    )

    assert rows(table(TABLE_2, tmp_path))["ResNet-34 (A)"][:4] == [
        "25.03",
        "25.00 (25.50 ± 0.71)",
        "+0.47",
        "2",
    ]
    third = rows(table(TABLE_3, tmp_path))
    ten = "ten, val, 50,000 images, BN running averages, fp32; trained in fp32"
    both = ["25.03", "25.00 (25.50 ± 0.71)", "+0.47", "7.76", "7.50 (8.00 ± 0.71)", "+0.24"]
    assert third["ResNet-34 A"] == [*both, "2", "600,000", ten]
    assert third["ResNet-50"][:2] == ["22.85", "not run"]
    assert third["GoogLeNet"][:3] == ["-", "", ""]
    fourth = rows(table(TABLE_4, tmp_path))["ResNet-50"]
    assert fourth[:2] == ["20.74", "21.00"]
    assert fourth[-2:] == [
        "60,000, 1/10 of the paper's 600,000",
        "dense at 224, 256, 384, 480, 640, val, 50,000 images, BN running averages, fp32; "
        "trained in fp32",
    ]
    assert "ResNet-34 A" not in rows(table(TABLE_4, tmp_path))
    fifth = rows(table(TABLE_5, tmp_path))["ResNet (ILSVRC'15)"]
    assert fifth[:3] == ["3.57", "4.57", "+1.00"]
    assert "resnet34-A + resnet50-B" in fifth[-1]
    assert not table(TABLE_6, tmp_path).has_ours


def test_the_overview_has_a_row_a_network_plain_first(tmp_path: Path) -> None:
    for seed, last in enumerate((8.0, 9.0, 8.5)):
        make_run(tmp_path, "resnet20-A", seed=seed, errors=(50.0, last))
    make_run(tmp_path, "plain20", errors=(60.0, 12.0))
    make_run(tmp_path, "resnet56-A", errors=(60.0, 30.0), done=False)
    runs, notes = find([tmp_path])
    assert notes == []
    assert runs_table(runs).rows == [
        ["plain-20", "200", "0", "6.00", "12.00", "about 9.5 (read off Fig. 6)"],
        ["ResNet-20", "200", "0, 1, 2", "4.00 (4.25 ± 0.25)", "8.00 (8.50 ± 0.50)", "8.75"],
        ["ResNet-56", "200 of 200, stopped", "0", "15.00", "30.00", "6.97"],
    ]


def test_other_recipes_are_no_seeds(tmp_path: Path) -> None:
    make_run(tmp_path / "a", "plain20", errors=(60.0, 12.0))
    make_run(tmp_path / "b", "plain20", "batch_size=64", errors=(60.0, 30.0))
    runs, _ = find([tmp_path])
    assert sorted(str(row[4]) for row in runs_table(runs).rows) == ["12.00", "30.00"]


def test_imagenet_runs_show_their_validation_error(tmp_path: Path) -> None:
    make_run(tmp_path, "resnet18-A", dataset="imagenet", errors=(70.0, 31.5))
    made = runs_table(find([tmp_path])[0])
    assert made.header[-1] == "validation error %"
    assert made.rows[0][-1] == "31.50"


@pytest.mark.parametrize(
    ("views", "split"), [("single", "val"), ("ten", "val"), ("dense", "train")]
)
def test_an_evaluation_of_the_wrong_kind_is_left_out(
    tmp_path: Path, views: str, split: str
) -> None:
    run = make_run(tmp_path, "resnet50-B", dataset="imagenet", iterations=600_000)
    make_evaluation(
        run / "one.json", "resnet50-B", run, views=views, top1=22.0, top5=6.0, split=split
    )
    assert not table(TABLE_4, tmp_path).has_ours


def test_broken_evaluations_are_told(tmp_path: Path) -> None:
    (tmp_path / "half.json").write_text('{"top1_error": 22')
    (tmp_path / "other.json").write_text('{"top1_error": 22.0}')
    (tmp_path / "speed.json").write_text('[{"images_per_second": 1}]')
    found, notes = find_evaluations([tmp_path], [])
    assert found == []
    assert [plain(note).split(" was ")[0] for note in notes] == [
        str(tmp_path / name) for name in ("half.json", "other.json")
    ]


def test_running_is_what_holds_its_lock(tmp_path: Path) -> None:
    """A run that was killed is stopped, whatever files it left."""
    folder = make_run(tmp_path, "resnet20", done=False)
    (folder / ".lock").touch()
    (folder / ".holder").write_text("1 on this machine")

    def told() -> str:
        return str(runs_table(find([tmp_path])[0]).rows[0][1])

    assert told() == "200 of 200, stopped"
    with RunFolder(folder).locked():
        assert told() == "200 of 200, running"
    assert told() == "200 of 200, stopped"

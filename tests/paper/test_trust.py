"""What the report must not call ours, or the paper's: made-up folders that once fooled it."""

from pathlib import Path
from typing import Any

import pytest

from resnet_cli.paper.evaluations import find_evaluations
from resnet_cli.paper.figures import papers_figure
from resnet_cli.paper.frames import frames
from resnet_cli.paper.our_tables import evaluations_table, runs_table
from resnet_cli.paper.ours import remark_on
from resnet_cli.paper.prose import plain
from resnet_cli.paper.published import TABLE_3, TABLE_4, TABLE_6, PublishedTable
from resnet_cli.paper.runs import find
from resnet_cli.paper.tables import make_table
from tests.helpers.commands import Command
from tests.paper.made_up import make_evaluation, make_run

FULL = 600_000
CATS, DOGS = (
    {"classes": [f"{kind}{n}" for n in range(20)], "images": {"train": 10_000, "val": 1000}}
    for kind in ("cat", "dog")
)


def line(paper: PublishedTable, method: str, root: Path) -> list[list[str]]:
    """Our cells of a method: our errors, n, iterations and remarks."""
    runs, _ = find([root])
    evaluations, _ = find_evaluations([root], runs)
    rows = make_table(paper, runs, evaluations).grid().rows
    return [[str(cell) for cell in (row[2], *row[-3:])] for row in rows if row[0] == method]


def left_out(root: Path) -> dict[str, str]:
    """Each evaluation's top-1 error, and why it is in none of the paper's tables."""
    evaluations, _ = find_evaluations([root], find([root])[0])
    return {f"{one.errors['top-1']:g}": remark_on(one) for one in evaluations}


def resnet50(root: Path, *overrides: str, seed: int = 0, **more: Any) -> Path:
    kind: dict[str, Any] = {"iterations": FULL, "errors": (25.0,)} | more
    return make_run(root, "resnet50-B", *overrides, seed=seed, dataset="imagenet", **kind)


def test_other_peoples_weights_are_in_no_table(tmp_path: Path) -> None:
    """Case 1: `resnet50-torchvision.pth`, 200 images, one dense scale."""
    (tmp_path / "weights").mkdir()
    make_evaluation(
        tmp_path / "weights/theirs.json",
        "resnet50-B",
        views="dense",
        top1=20.0,
        checkpoints=["resnet50-torchvision.pth"],
        trained=[{"network": "resnet50-B", "stride_in": "3x3", "seed": None, "recipe": None}],
        count=200,
        scales=[224],
    )  # fmt: skip
    assert line(TABLE_4, "ResNet-50", tmp_path) == [["not run", "", "", ""]]
    assert left_out(tmp_path) == {
        "20": "weights of another project; 200 of the paper's 50,000 images; "
        "scales other than 224, 256, 384, 480, 640"
    }


def test_a_file_of_theirs_in_a_folder_of_ours_stays_theirs(tmp_path: Path) -> None:
    run = resnet50(tmp_path)
    make_evaluation(
        run / "theirs.json",
        "resnet50-B",
        run,
        views="ten",
        top1=19.0,
        trained=[{"network": "resnet50-B", "recipe": None}],
    )
    assert line(TABLE_3, "ResNet-50", tmp_path) == [["not run", "", "", ""]]


def test_three_recipes_are_not_three_seeds(tmp_path: Path) -> None:
    """Case 2: three recipes were merged as "22.00 (23.00 ± 1.00), n=3"."""
    folders = [
        resnet50(tmp_path / "a"),
        resnet50(tmp_path / "b", "optimizer.lr=0.2", seed=1),
        resnet50(tmp_path / "c", "model.stride_in=3x3", seed=2),
    ]
    for number, run in enumerate(folders):
        make_evaluation(run / "ten.json", "resnet50-B", run, views="ten", top1=22.0 + number)
    (ours,) = line(TABLE_3, "ResNet-50", tmp_path)
    assert ours[:3] == ["22.00", "1", "600,000"]
    assert left_out(tmp_path) == {"22": "", "23": "optimizer.lr=0.2", "24": "model.stride_in=3x3"}


def test_seeds_of_the_papers_recipe_are_pooled(tmp_path: Path) -> None:
    for seed in range(3):
        run = resnet50(tmp_path, seed=seed)
        for name in ("one", "two"):  # measured twice, it is one seed still
            make_evaluation(run / f"{name}.json", "resnet50-B", run, views="ten", top1=22.0 + seed)
    (ours,) = line(TABLE_3, "ResNet-50", tmp_path)
    told = "ten, val, 50,000 images, BN running averages, fp32; trained in fp32"
    assert ours == ["22.00 (23.00 ± 1.00)", "3", "600,000", told]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"count": 200}, "200 of the paper's 50,000 images"),
        ({"precision": "fp16"}, "measured in fp16"),
        ({"split": "train"}, "on training images"),
        ({"scales": [224]}, "scales other than 224, 256, 384, 480, 640"),
        ({"trained": None}, "the file does not say which recipe was trained"),
    ],
)
def test_tables_take_all_the_images_at_all_scales(
    tmp_path: Path, change: dict[str, Any], why: str
) -> None:
    run = resnet50(tmp_path)
    file = make_evaluation(run / "dense.json", "resnet50-B", run, views="dense", top1=20.0)
    assert line(TABLE_4, "ResNet-50", tmp_path)[0][0] == "20.00"
    make_evaluation(file, "resnet50-B", run, views="dense", top1=20.0, **change)
    assert line(TABLE_4, "ResNet-50", tmp_path)[0][0] == "not run"
    assert left_out(tmp_path) == {"20": why}


def test_the_best_iterate_and_an_unfinished_run_are_in_no_table(tmp_path: Path) -> None:
    run = resnet50(tmp_path)
    file = make_evaluation(run / "ten.json", "resnet50-B", run, views="ten", top1=20.0)
    told = file.read_text()
    assert f'"iteration": {FULL}' in told
    file.write_text(told.replace(f'"iteration": {FULL}', '"iteration": 450000'))
    assert left_out(tmp_path) == {"20": "a checkpoint of iteration 450000 of 600000"}
    file.write_text(told)
    (run / "result.json").unlink()
    assert left_out(tmp_path) == {"20": "of a run that is not finished"}


def test_a_moved_run_is_known_by_what_was_trained(tmp_path: Path) -> None:
    run = resnet50(tmp_path / "then")
    make_evaluation(tmp_path / "ten.json", "resnet50-B", run, views="ten", top1=22.0)
    run.rename(run.parent / "elsewhere")
    assert line(TABLE_3, "ResNet-50", tmp_path)[0][0] == "22.00"


def test_weights_of_unknown_training_have_a_section_of_their_own(
    command: Command, tmp_path: Path
) -> None:
    run = resnet50(tmp_path / "runs")
    make_evaluation(run / "ten.json", "resnet50-B", run, views="ten", top1=22.0)
    make_evaluation(
        tmp_path / "runs/theirs.json", "resnet50-B", views="ten", top1=19.0,
        checkpoints=["resnet50-torchvision.pth"], trained=[{"network": "resnet50-B"}],
    )  # fmt: skip
    assert command("resnet-report", tmp_path / "runs", "--out", tmp_path / "out").code == 0
    text = (tmp_path / "out/report.md").read_text()
    ours, theirs = text.split("### Other weights")
    assert "22.00" in ours and "19.00" not in ours
    assert "resnet50-torchvision.pth" in theirs and "weights of another project" in theirs


def test_a_figure_never_mixes_45k_and_50k_images(tmp_path: Path) -> None:
    """Case 3: plain-20 trained on 45,000 images was drawn beside plain-56 on 50,000."""
    make_run(tmp_path, "plain20", "dataset.validation=5000", iterations=64_000, errors=(9.0,))
    make_run(tmp_path, "plain56", iterations=64_000, errors=(13.0,))
    runs, _ = find([tmp_path])
    made = papers_figure(frames()[0], runs)
    assert made is not None
    assert {run.network for run in made.runs} == {"plain56"}
    names = [row[0] for row in runs_table(runs).rows]
    assert names == ["plain-20 (dataset.validation=5000)", "plain-56"]


@pytest.mark.parametrize("setting", ["bn_batch=64"])
def test_what_the_paper_leaves_open_is_alike_in_a_figure_and_told(
    tmp_path: Path, setting: str
) -> None:
    make_run(tmp_path, "resnet20-A", setting, iterations=64_000, errors=(8.8,))
    make_run(tmp_path, "resnet56-A", iterations=64_000, errors=(7.0,))
    runs, _ = find([tmp_path])
    made = papers_figure(frames()[1], runs)
    assert made is not None
    assert len({run.network for run in made.runs}) == 1
    assert setting in line(TABLE_6, "ResNet-20", tmp_path)[0][-1]


def test_fp16_is_not_the_papers_recipe_and_bf16_is_told(tmp_path: Path) -> None:
    full: dict[str, Any] = {"iterations": 64_000, "errors": (8.8,)}
    make_run(tmp_path, "resnet20-A", "precision=fp16", result={"precision": "fp16"}, **full)
    make_run(tmp_path, "resnet56-A", result={"precision": "bf16"}, **full)
    assert line(TABLE_6, "ResNet-20", tmp_path)[0][0] == "not run"
    assert "bf16" in line(TABLE_6, "ResNet-56", tmp_path)[0][-1]
    runs, _ = find([tmp_path])
    assert runs_table(runs).rows[0][0] == "ResNet-20 (precision=fp16)"


def test_two_precisions_are_not_seeds_of_one_recipe(tmp_path: Path) -> None:
    full: dict[str, Any] = {"iterations": 64_000, "errors": (8.8,)}
    make_run(tmp_path, "resnet20-A", result={"precision": "bf16"}, **full)
    make_run(tmp_path, "resnet20-A", seed=1, result={"precision": "fp32"}, **full)
    make_run(tmp_path, "resnet20-A", seed=2, done=False, **full)
    assert [ours[1] for ours in line(TABLE_6, "ResNet-20", tmp_path)] == ["1", "1"]
    make_run(tmp_path, "plain20", result={"precision": "bf16"}, **full)
    names = [row[0] for row in runs_table(find([tmp_path])[0]).rows]
    assert names == ["plain-20", "ResNet-20, bf16", "ResNet-20, fp32"]


def test_a_figure_and_its_verdict_take_a_networks_seeds_in_one_precision(tmp_path: Path) -> None:
    """In that of most seeds, else of most runs; a network without it is drawn beside them."""
    full: dict[str, Any] = {"iterations": 64_000}
    bf16 = full | {"result": {"precision": "bf16"}}
    for seed in (0, 1, 2):
        make_run(tmp_path, "resnet20-A", seed=seed, errors=(8.8,), **bf16)
    make_run(tmp_path, "resnet20-A", "precision=fp32", errors=(20.0,), **full)  # far off
    make_run(tmp_path, "resnet56-A", errors=(7.0,), **bf16)
    make_run(tmp_path, "resnet56-A", "precision=fp32", errors=(30.0,), **full)
    make_run(tmp_path, "plain20", "precision=fp32", errors=(9.4,), **full)
    made = papers_figure(frames()[1], find([tmp_path])[0])
    assert made is not None
    assert sorted((run.network, run.precision, run.seed) for run in made.runs) == [
        ("plain20", "fp32", 0),
        ("resnet20-A", "bf16", 0),
        ("resnet20-A", "bf16", 1),
        ("resnet20-A", "bf16", 2),
        ("resnet56-A", "bf16", 0),
    ]
    assert any("by 1.8 points" in verdict.words for verdict in made.verdicts)
    told = "number format: ResNet-20's seed 0 in fp32, ResNet-56's seed 0 in fp32."
    assert told in plain(made.caption)


def test_plain_110_is_in_figure_6(tmp_path: Path) -> None:
    """Case 4: as composed it has no warm-up, which only the residual 110 and 1202 layers have."""
    for name in ("plain110", "plain56", "resnet110-A"):
        make_run(tmp_path, name, iterations=64_000, errors=(61.0,))
    runs, _ = find([tmp_path])
    assert [run.deviations for run in runs] == [(), (), ()]
    made = papers_figure(frames()[1], runs)
    assert made is not None
    assert {run.network for run in made.runs} == {"plain110", "plain56", "resnet110-A"}


def test_cats_and_dogs_are_not_two_seeds(tmp_path: Path) -> None:
    """Case 5: 20 cats and 20 dogs became "n=2"."""
    for seed, data in enumerate((CATS, DOGS)):
        more: dict[str, Any] = {"seed": seed, "dataset": "imagenet", "data": data}
        more["result"] = {"classes": 20, "training_images": 10_000}
        make_run(tmp_path / f"data{seed}", "resnet18-A", errors=(40.0 + seed,), **more)
    runs, _ = find([tmp_path])
    assert len({run.dataset for run in runs}) == 2
    assert all(run.dataset.startswith("imagenet-20-") for run in runs)
    for run in runs:
        assert len(runs_table([one for one in runs if one.dataset == run.dataset]).rows) == 1


def test_equal_classes_are_one_data_set_wherever_they_lie(tmp_path: Path) -> None:
    for seed in range(2):
        make_run(
            tmp_path, "resnet18-A", f"dataset.root=photos{seed}", seed=seed, dataset="imagenet",
            data=CATS, errors=(40.0,), result={"classes": 20},
        )  # fmt: skip
    runs, _ = find([tmp_path])
    assert {run.dataset for run in runs} == {"photos0"}
    assert len(runs_table(runs).rows) == 1


def test_a_thousand_classes_of_ones_own_are_not_imagenet(tmp_path: Path) -> None:
    own = {"classes": [str(n) for n in range(1000)], "images": {"train": 100_000, "val": 50_000}}
    run = resnet50(tmp_path, data=own)
    make_evaluation(run / "ten.json", "resnet50-B", run, views="ten", top1=22.0)
    assert line(TABLE_3, "ResNet-50", tmp_path) == [["not run", "", "", ""]]
    assert left_out(tmp_path) == {"22": "train=100,000 val=50,000"}


def test_an_ensemble_is_known_when_all_of_it_is(tmp_path: Path) -> None:
    runs = [resnet50(tmp_path, seed=seed) for seed in range(2)]
    file = make_evaluation(tmp_path / "two.json", "two", *runs, views="dense", top1=19.0)
    assert left_out(tmp_path) == {"19": ""}
    make_evaluation(
        file, "two", *runs, views="dense", top1=19.0, checkpoints=["a", "b", "c"],
    )  # fmt: skip
    assert "does not say which recipe" in left_out(tmp_path)["19"]
    evaluations, _ = find_evaluations([tmp_path], find([tmp_path])[0])
    assert evaluations_table(evaluations).header[-1] == "not in the paper's tables because"


def test_evaluations_of_one_network_say_which_run(tmp_path: Path) -> None:
    """Four runs of a network, measured alike; a row would not say which number is whose."""
    for seed, overrides, iterations in (
        (0, [], FULL), (1, [], FULL), (0, [], 1000), (0, ["optimizer.lr=0.05"], FULL),
    ):  # fmt: skip
        root = tmp_path / f"{seed}{iterations}{len(overrides)}"
        run = resnet50(root, *overrides, seed=seed, iterations=iterations)
        make_evaluation(run / "ten.json", "resnet50-B", run, views="ten", top1=22.0)
    one = resnet50(tmp_path / "more", seed=2)
    make_evaluation(one / "two.json", "two", one, run, views="ten", top1=20.0)
    evaluations, _ = find_evaluations([tmp_path], find([tmp_path])[0])
    table = evaluations_table(evaluations)
    assert table.header[1] == "trained"
    assert {str(row[1]) for row in table.rows} == {
        "seed 0, 600,000 iterations",
        "seed 1, 600,000 iterations",
        "seed 0, 1,000 iterations",
        "seed 0, 600,000 iterations (optimizer.lr=0.05)",
        "seed 2, 600,000 iterations + seed 0, 600,000 iterations (optimizer.lr=0.05)",
    }

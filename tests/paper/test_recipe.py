"""What counts as the paper's recipe: conf/ against the paper's sections 3.4 and 4.2."""

from pathlib import Path

import pytest

from resnet_cli.config import compose
from resnet_cli.config.experiments import networks
from resnet_cli.config.plain import from_plain
from resnet_cli.data.choices import DatasetName
from resnet_cli.models.architecture import Shortcut
from resnet_cli.paper import recipe
from resnet_cli.paper.published import FULL_ITERATIONS
from resnet_cli.paper.runs import find
from resnet_cli.runtime.conf import options
from tests.paper.made_up import config, make_run

CIFAR10_DEPTHS = ("20", "32", "44", "56", "110", "164", "1001", "1202")
CIFAR10 = {  # section 4.2
    "batch_size": 128,
    "optimizer.lr": 0.1,
    "optimizer.momentum": 0.9,
    "optimizer.weight_decay": 1e-4,
    "optimizer.nesterov": False,
    "schedule.iterations": 64_000,
    "schedule.milestones": [32_000 / 64_000, 48_000 / 64_000],
    "schedule.gamma": 0.1,
    "dataset.validation": 0,
}
IMAGENET = {  # section 3.4
    "batch_size": 256,
    "optimizer.lr": 0.1,
    "optimizer.momentum": 0.9,
    "optimizer.weight_decay": 1e-4,
    "schedule.iterations": 600_000,
    "schedule.rule": "plateau",
    "schedule.gamma": 0.1,
    "dataset.image_size": 224,
    "model.stride_in": "1x1",
}


def test_conf_holds_the_papers_recipe() -> None:
    for dataset, depth, said in (
        (DatasetName.cifar10, 56, CIFAR10),
        (DatasetName.imagenet, 50, IMAGENET),
    ):
        found = recipe.papers_recipe(depth, Shortcut.B, dataset)
        assert said.items() <= found.items()
        assert found["schedule.iterations"] == FULL_ITERATIONS[dataset]


def test_only_residual_networks_of_110_layers_and_more_are_warmed_up() -> None:
    warm = {
        name
        for name in options("model")
        if name.startswith(("plain", "resnet"))
        and name.endswith(CIFAR10_DEPTHS)
        and config(name)["schedule"]["warmup_lr"] is not None
    }
    assert warm == {"resnet110", "resnet164", "resnet1001", "resnet1202"}


@pytest.mark.parametrize(
    "name",
    [name for name in options("model") if name.startswith(("plain", "resnet", "preact"))],
)
def test_every_network_as_composed_is_the_papers(name: str) -> None:
    dataset = "cifar10" if name.endswith(CIFAR10_DEPTHS) else "imagenet"
    assert recipe.differences(from_plain(config(name, dataset=dataset))) == {}


@pytest.mark.parametrize(
    ("network", "override"),
    [
        ("plain20", "batch_size=64"),
        ("plain20", "dataset.validation=5000"),
        ("plain20", "dataset.train_images=1000"),
        ("plain20", "dataset.normalization=cifar"),
        ("plain20", "model.num_classes=100"),
        ("plain20", "bn_batch=32"),
        ("plain20", "precision=fp16"),
        ("plain20", "label_smoothing=0.1"),
        ("plain20", "ema=0.999"),
        ("plain20", "schedule.linear_warmup=0.05"),
        ("plain20", "experiment=modern"),
        ("plain20", "schedule.warmup_lr=0.01"),
        ("resnet110-A", "schedule.warmup_lr=null"),
        ("resnet110-A", "schedule.warmup_until_error=60.0"),
        ("resnet50-B", "schedule.patience=3"),
        ("resnet50-B", "schedule.drops=2"),
        ("resnet50-B", "schedule.progress=1.0"),
        ("resnet50-B", "eval_every=1000"),
        ("resnet50-B", "model.stride_in=3x3"),
        ("resnet50-B", "model.num_classes=1001"),
        ("resnet50-B", "bn_batch=4"),
        ("resnet50-B", "schedule=imagenet_steps"),
        ("resnet50-B", "dataset.augmentation=inception"),
    ],
)
def test_another_setting_is_a_deviation(tmp_path: Path, network: str, override: str) -> None:
    dataset = "imagenet" if network == "resnet50-B" else "cifar10"
    make_run(
        tmp_path,
        network,
        override,
        dataset=dataset,
        iterations=FULL_ITERATIONS[dataset],
        result={"precision": "fp16" if "fp16" in override else "bf16"},
    )
    (run,), _ = find([tmp_path])
    among = {"schedule=imagenet_steps": "schedule.rule=steps"}
    among["experiment=modern"] = "schedule.rule=cosine"
    if override in among:
        assert among[override] in run.deviations
    else:
        assert run.deviations == (override,)
    assert set(run.deviations) <= set(run.setting.split(", "))


@pytest.mark.parametrize(
    ("network", "override", "told"),
    [
        ("plain20", "bn_batch=64", "bn_batch=64"),  # the paper's two GPUs
        ("resnet50-B", "bn_batch=32", "bn_batch=32"),  # eight
        ("plain20", "precision=fp32", ""),
        ("plain20", "compile=on", ""),
        ("resnet50-B", "model.num_classes=1000", ""),
        ("plain20", "log_every=7", ""),
    ],
)
def test_what_the_paper_leaves_open_is_told_at_most(
    tmp_path: Path, network: str, override: str, told: str
) -> None:
    dataset = "imagenet" if network == "resnet50-B" else "cifar10"
    make_run(tmp_path, network, override, dataset=dataset)
    (run,), _ = find([tmp_path])
    assert (run.deviations, run.setting) == ((), told)


def test_a_plateau_may_be_shortened_with_its_evaluations(tmp_path: Path) -> None:
    """patience counts evaluations: at a tenth of the length they come ten times as often."""
    make_run(tmp_path / "a", "resnet50-B", dataset="imagenet", iterations=60_000)
    make_run(
        tmp_path / "b",
        "resnet50-B",
        "schedule.iterations=60000",
        dataset="imagenet",
        iterations=60_000,
    )
    runs, _ = find([tmp_path])
    assert sorted(run.deviations for run in runs) == [(), ("eval_every=5000",)]


def test_an_experiments_networks_are_those_it_trains() -> None:
    jobs, _ = compose.jobs(["experiment=figure6"], multirun=True)
    assert networks("figure6") == tuple(job.folder.parts[-2] for job in jobs)

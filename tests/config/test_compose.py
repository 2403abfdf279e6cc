"""Every config composes, says what the paper says, and what does not fit is told in one line."""

import functools
import itertools
import re
from pathlib import Path

import pytest
import torch
import yaml
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.utils import get_method

from resnet_cli.config.compose import jobs
from resnet_cli.config.plain import differences, from_plain, to_plain
from resnet_cli.config.schema import RunConfig, architecture
from resnet_cli.config.words import quote_paths
from resnet_cli.launch import local
from resnet_cli.models.architecture import Activation, Shortcut, Stem
from resnet_cli.models.comparison import AnyNetwork
from resnet_cli.models.networks import build_network
from resnet_cli.models.zoo import COMPARISONS, NETWORKS
from resnet_cli.runtime.conf import options
from resnet_cli.runtime.errors import DataError, UserError
from resnet_cli.training.schedule import Schedule
from tests.data.trees import write_folders


@functools.cache  # read only
def composed(*overrides: str) -> RunConfig:
    (job,), _ = jobs(list(overrides), multirun=False)
    return job.config


EVERY: dict[str, AnyNetwork] = {**NETWORKS, **COMPARISONS}
FEW = ["plain20", "resnet110", "resnet18", "resnet50"]


@pytest.mark.parametrize(("model", "dataset"), [*itertools.product(FEW, options("dataset"))])
def test_a_dataset_on_the_command_line_wins(model: str, dataset: str) -> None:
    run = composed(f"model={model}", f"dataset={dataset}")
    assert architecture(run, num_classes=NETWORKS[model].num_classes) == NETWORKS[model]
    assert run.dataset.name == dataset


@pytest.mark.parametrize("model", options("model"))
def test_a_model_brings_its_data_and_recipe(model: str) -> None:
    """`model=resnet34` is ImageNet's by itself; plain and residual networks of one depth name
    share everything but the shortcut.
    """
    run = composed(f"model={model}")
    assert architecture(run, num_classes=EVERY[model].num_classes) == EVERY[model]
    if EVERY[model].stem is Stem.cifar:
        assert (run.dataset.name, run.batch_size, run.schedule.iterations) == (
            "cifar10",
            128,
            64_000,
        )
    else:
        assert (run.dataset.name, run.batch_size, run.schedule.iterations) == (
            "imagenet",
            256,
            600_000,
        )
        assert (run.schedule.rule, run.schedule.milestones, run.optimizer.lr) == (
            "plateau",
            [],
            0.1,
        )


def test_the_steps_of_imagenet_are_epochs() -> None:
    run = composed("model=resnet50", "schedule=imagenet_steps")
    schedule = Schedule(
        lr=run.optimizer.lr,
        iterations=run.schedule.iterations,
        gamma=run.schedule.gamma,
        milestones=tuple(run.schedule.milestones),
    )
    epoch = 1_281_167 / 256  # batches run on across its end
    assert [schedule.iterations, *schedule.milestone_iterations] == pytest.approx(
        [epochs * epoch for epochs in (90, 30, 60)], abs=1
    )


def test_there_is_a_file_for_every_network() -> None:
    assert set(options("model")) == EVERY.keys()


def test_the_default_is_section_4_2() -> None:
    run = composed()
    assert (
        run.batch_size,
        run.optimizer.lr,
        run.optimizer.momentum,
        run.optimizer.weight_decay,
    ) == (128, 0.1, 0.9, 1e-4)
    assert not run.optimizer.nesterov
    assert (run.schedule.iterations, run.schedule.milestones, run.schedule.gamma) == (
        64_000,
        [0.5, 0.75],
        0.1,
    )
    assert (run.dataset.normalization, run.dataset.validation, run.shortcut) == (
        "paper",
        0,
        Shortcut.A,
    )


@pytest.mark.parametrize(
    "model", [model for model, net in NETWORKS.items() if net.stem is Stem.cifar]
)
def test_only_the_110_and_beyond_warm_up(model: str) -> None:
    schedule = composed(f"model={model}").schedule
    net = NETWORKS[model]
    deep = net.depth >= 110 and net.shortcut is not Shortcut.none
    # all networks of He et al. 2016 (Identity Mappings, appendix)
    expected = (
        0.01 if deep or (net.activation is Activation.pre and net.stem_width is None) else None
    )
    assert (schedule.warmup_lr, schedule.warmup_until_error) == (expected, 80.0)


def test_a_config_survives_yaml() -> None:
    run = composed("model=resnet110", "shortcut=C", "dataset.validation=5000", "compile=on")
    assert from_plain(yaml.safe_load(yaml.safe_dump(to_plain(run)))) == run


def test_resnet_without_shortcuts_is_the_plain_network() -> None:
    run = composed("model=resnet20", "shortcut=none")
    with torch.device("meta"):
        names = [
            set(build_network(net).state_dict())
            for net in (architecture(run, num_classes=10), NETWORKS["plain20"])
        ]
    assert names[0] == names[1]
    assert architecture(run, num_classes=10).name == "plain20"


@pytest.mark.parametrize(
    ("overrides", "folder"),
    [
        ([], "cifar10/resnet20-A/seed0"),
        (["model=plain56", "seed=2"], "cifar10/plain56/seed2"),
        (["model=resnet56", "shortcut=B", "dataset=synthetic"], "synthetic/resnet56-B/seed0"),
        (["model=resnet20", "model.depth=26"], "cifar10/resnet26-A/seed0"),
        (["schedule.iterations=4000"], "cifar10/resnet20-A/schedule.iterations=4000/seed0"),
        (["scale=0.0625"], "cifar10/resnet20-A/schedule.iterations=4000/seed0"),
        (["experiment=figure1", "model=plain20"], "cifar10/plain20/seed0"),
        (
            ["experiment=figure6", "model=plain56", "scale=0.5"],
            "cifar10/plain56/schedule.iterations=32000/seed0",
        ),
        (
            ["experiment=quickstart", "model=resnet20", "scale=0.5"],
            "synthetic/resnet20-A/quickstart,schedule.iterations=800/seed0",
        ),
        (
            ["optimizer.lr=0.05", "batch_size=64"],
            "cifar10/resnet20-A/batch_size=64,optimizer.lr=0.05/seed0",
        ),
        (
            ["batch_size=64", "optimizer.lr=0.05", "log_every=1"],
            "cifar10/resnet20-A/batch_size=64,optimizer.lr=0.05/seed0",
        ),
        (
            ["model=resnet20", "model.depth=20", "schedule.iterations=64000", "optimizer.lr=1e-1"],
            "cifar10/resnet20-A/seed0",
        ),
        (["schedule=synthetic"], "cifar10/resnet20-A/synthetic/seed0"),
        (
            ["experiment=quickstart", "model=resnet20", "optimizer.lr=0.02"],
            "synthetic/resnet20-A/quickstart,optimizer.lr=0.02/seed0",
        ),
        (["model=resnet34", "shortcut=B"], "imagenet/resnet34-B/seed0"),
        (["model=resnet34", "schedule=imagenet"], "imagenet/resnet34-A/seed0"),
        (
            ["model=resnet50", "schedule=imagenet_steps", "seed=3"],
            "imagenet/resnet50-B/imagenet_steps/seed3",
        ),
        (
            ["model=resnet18", "model.stem=cifar", "dataset.workers=0"],
            "imagenet/resnet18-A/model.stem=cifar/seed0",
        ),
        (["model=resnet18", "dataset=cifar10"], "cifar10/resnet18-A/seed0"),
        (["model=resnext50_32x4d"], "imagenet/resnet50-32x4d-B/seed0"),
        (["device=cpu", "resume=never", "dataset.root=a b/c,d=e"], "cifar10/resnet20-A/seed0"),
    ],
)
def test_run_folders(overrides: list[str], folder: str) -> None:
    (job,), _ = jobs(quote_paths(overrides), multirun=False)
    assert job.folder == Path("runs") / folder


def test_scale_is_another_way_to_say_iterations() -> None:
    short, same = composed("scale=0.0625"), composed("schedule.iterations=4000")
    assert short.schedule == same.schedule
    assert short.schedule.milestones == [0.5, 0.75]
    # so the one goes on where the other was
    assert differences(to_plain(short), to_plain(same)) == []
    assert composed("schedule.iterations=100", "scale=0.001").schedule.iterations == 1


EXPERIMENTS = {
    "figure1": ["plain20", "plain56"],
    "figure6": [
        "plain20",
        "plain32",
        "plain44",
        "plain56",
        "resnet20-A",
        "resnet32-A",
        "resnet44-A",
        "resnet56-A",
        "resnet110-A",
    ],
    "table6": [
        "resnet20-A",
        "resnet32-A",
        "resnet44-A",
        "resnet56-A",
        "resnet110-A",
        "resnet1202-A",
    ],
    "figure7": ["plain20", "plain56", "resnet20-A", "resnet56-A", "resnet110-A"],
}


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_an_experiment_trains_the_papers_networks_by_the_papers_recipe(experiment: str) -> None:
    planned, is_sweep = jobs([f"experiment={experiment}"], multirun=False)
    assert is_sweep
    assert [str(job.folder) for job in planned] == [
        f"runs/cifar10/{name}/seed0" for name in EXPERIMENTS[experiment]
    ]


def test_a_sweep_is_every_combination() -> None:
    planned, multirun = jobs(["model=plain20,resnet20", "seed=0,1"], multirun=True)
    assert multirun
    assert [str(job.folder) for job in planned] == [
        f"runs/cifar10/{network}/seed{seed}"
        for network in ("plain20", "resnet20-A")
        for seed in (0, 1)
    ]


def test_an_experiment_is_launched_like_any_sweep() -> None:
    """The launcher's keys are the sweep's: each run is what it would be alone, and its command
    says so.
    """
    words = ["experiment=figure6", "hydra/launcher=local", "jobs_per_device=4"]
    (planned, launched), (alone, basic) = (
        jobs(words, multirun=False),
        jobs(words[:1], multirun=False),
    )
    assert launched and basic
    assert (launched.name, launched.jobs_per_device, basic.name) == ("local", 4, "basic")
    assert planned == alone
    assert planned[0].overrides == ["model=plain20", "experiment=figure6"]


def test_the_clusters_settings_come_from_the_command_line() -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    words = [
        "seed=0,1",
        "runs=shared",
        "hydra/launcher=submitit_slurm",
        "hydra.launcher.partition=gpu",
        "hydra.launcher.timeout_min=30",
    ]
    _, launched = jobs(words, multirun=True)
    assert launched
    wanted = {
        "partition": "gpu",
        "timeout_min": 30,
        "name": "resnet-train",
        "submitit_folder": "shared/.submitit/%j",
    }
    assert launched.settings.items() >= wanted.items()


LAUNCHED_WRONG = {
    "jobs_per_device=0 hydra/launcher=local": "jobs_per_device=0: must be at least 1",
    "jobs_per_device=2": "only sweeps share a device",
    "jobs_per_device=1,2 "
    "hydra/launcher=local": "jobs_per_device=1,2: a sweep is launched in one way; give one value",
    "hydra/launcher=basic,local": "hydra/launcher=basic,local: a sweep is launched in one way; "
    "give one value",
    "hydra/launcher=local hydra.launcher.partition=gpu": "partition",
}


@pytest.mark.parametrize("words", LAUNCHED_WRONG)
def test_a_launcher_that_does_not_fit_is_one_clear_line(words: str) -> None:
    with pytest.raises(UserError) as refused:
        jobs(["seed=0,1", *words.split()], multirun=True)
    assert LAUNCHED_WRONG[words] in str(refused.value)
    assert "\n" not in str(refused.value)


def test_without_submitit_its_launchers_say_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Plugins.instance()  # finds what is installed
    there = ConfigStore.instance().repo["hydra"]["launcher"]
    monkeypatch.delitem(there, "submitit_slurm.yaml", raising=False)
    with pytest.raises(
        UserError,
        match=r"needs submitit, which is not installed: pip install 'resnet-cli\[slurm\]'",
    ):
        jobs(["seed=0,1", "hydra/launcher=submitit_slurm"], multirun=True)


def test_the_same_run_twice_is_one_run() -> None:
    planned, _ = jobs(["seed=0,1,0"], multirun=True)
    assert [job.config.seed for job in planned] == [0, 1]


def test_a_sweep_may_glob() -> None:
    planned, _ = jobs(["model=glob(plain?4)"], multirun=True)
    assert [job.config.model.depth for job in planned] == [34, 44]


def test_a_long_list_of_overrides_still_makes_a_folder() -> None:
    milestones = ",".join(str(n / 100) for n in range(1, 90))
    one, other = (
        jobs([f"schedule.milestones=[{milestones}]", f"batch_size={size}"], multirun=False)[0][
            0
        ].folder
        for size in (64, 65)
    )
    assert max(len(part) for part in one.parts) <= 200
    assert one != other


WRONG = {
    "model=resnet65": "unknown model 'resnet65': did you mean 'resnet56'",
    "dataset.image_size=224": "cifar10 has images of 32x32",
    "dataset.augmentation=inception": "cifar10 has images of 32x32 and the augmentation of "
    "section 4.2",
    "dataset.augmentation=autoaugment": "expected one of [paper, inception]",
    "dataset.on_error=ignore": "expected one of [stop, skip]",
    "dataset.workers=-1": "not negative",
    "model.stem=imagenet": "belongs to ImageNet's networks",
    "model.groups=32": "belongs to ImageNet's networks",
    "model.num_classes=0": "must be at least 1",
    "schedule.rule=plateau": "schedule.milestones=[0.5, 0.75] must be []",
    "schedule.patience=0": "must be at least 1",
    "schedule.rule=cosine": "the rate falls all along, so schedule.milestones=[0.5, 0.75] must",
    "schedule.linear_warmup=1": "schedule.linear_warmup=1: must be at least 0 and below 1",
    "ema=1": "ema=1: must be at least 0 and below 1",
    "label_smoothing=-0.1": "label_smoothing=-0.1: must be at least 0 and below 1",
    "label_smoothing=nan": "must be at least 0 and below 1",
    "dataset=cifar": "did you mean 'cifar10' or 'cifar100'?",
    "shortcut=D": "shortcut=D: Invalid value 'D', expected one of [none, A, B, C]",
    "lr=0.05": "did you mean 'optimizer.lr'?",
    "epochs=10": "did you mean 'schedule.epochs'?",
    "batch=64": "did you mean 'batch_size'?",
    "workers=4": "did you mean 'dataset.workers'?",
    "depth=56": "as in model=resnet56",
    "hydra/sweeper=optuna": "such as Optuna's, is not supported",
    "pretrained=true": "training starts from random weights, or with weights=FILE from those of",
    "resume=true": "the same command resumes by itself (resume=auto)",
    "model=resnet21": "unknown model 'resnet21': did you mean 'resnet20' or 'resnet18'?",
    "model=resnet26": "Any 6n+2 layers: model=resnet20 model.depth=26",
    "model=ResNet-56": "did you mean 'resnet56'?",
    "schedule.epochs=0": "schedule.epochs=0: must be a number above 0",
    "modle=resnet20": "unknown key 'modle': did you mean 'model'?",
    "schedule.iteration=5": "did you mean 'schedule.iterations'",
    "+batchsize=5": "did you mean 'batch_size'?",
    "dataset.name=synthetic": "unknown key 'dataset.name'",
    "batch_size=many": "batch_size=many: Value 'many' of type 'str' could not be converted to "
    "Integer",
    "batch_size=0": "batch_size=0: must be at least 1",
    "optimizer.lr=fast": "could not be converted to Float",
    "optimizer.lr=-1": "must be a number that is not negative",
    "optimizer.lr=nan": "must be a number that is not negative",
    "seed=-1": "not negative",
    "scale=0": "above 0 and at most 1",
    "scale=2": "above 0 and at most 1",
    "scale=nan": "above 0 and at most 1",
    "optimizer.lr=inf": "must be a number",
    "schedule.gamma=-1": "not negative",
    "schedule.warmup_lr=nan": "must be a number",
    "hydra/launcher=joblib": "unknown launcher 'joblib': there is basic, local, submitit_local, "
    "submitit_slurm",
    "hydra/launcher=locl": "unknown launcher 'locl': did you mean 'local'?",
    "hydra/launcher=local": "hydra/launcher=local is for sweeps, even of one run; add -m",
    "hydra/lancher=local": "did you mean 'hydra/launcher'?",
    "jobs_per_device=2": "jobs_per_device=2: only sweeps share a device; add -m "
    "hydra/launcher=local",
    "~hydra.foo": "hydra.foo",
    "seed=9223372036854775808": "must be at most 9,223,372,036,854,775,807",
    f"model.num_classes={10**30}": "must be at most 1,000,000",
    f"dataset.num_classes={10**30}": "must be at most 1,000,000",
    "model.depth=600002": "model.depth=600002: must be at most 100,000",
    "devices=1000000000": "does not divide among devices=1000000000",
    f"log_every={10**30}": "must be at most",
    f"batch_size={'9' * 5000}": "cannot read a number",
    "model.depth=21": "6n+2 layers (20, 32, 44, 56, 110, 1202, ...); nearest: 20 or 26",
    "schedule.iterations=0": "must be at least 1",
    "schedule.milestones=[0.75,0.5]": "must be rising fractions",
    "schedule.milestones=[32000]": "must be rising fractions",
    "device=gpu": "expected one of [auto, cpu, cuda, mps]",
    "precision=fp8": "expected one of [auto, fp32, bf16, fp16]",
    "model=null": "unknown model",
    "seed": "expected key=value",
    "seed=1,2": "several values make a sweep; add -m",
}


@pytest.mark.parametrize(("override", "told"), [*WRONG.items()])
def test_what_does_not_fit_is_one_clear_line(override: str, told: str) -> None:
    with pytest.raises(UserError) as refused:
        jobs([override], multirun=False)
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["model=resnet34", "model.depth=35"], "Table 1 has 18, 34, 50, 101, 152 layers"),
        (["model=resnet50", "model.stride_in=2x2"], "model.stride_in=2x2: use one of 1x1, 3x3"),
        (["model=resnet18", "model.groups=32"], "only bottlenecks (50, 101, 152 layers) have them"),
        (
            ["model=resnet18", "dataset.validation=1.5"],
            "must be a count, or a share between 0 and 1",
        ),
        (["model=resnet18", "dataset.image_size=16"], "dataset.image_size=16: must be at least 32"),
    ],
)
def test_what_does_not_fit_imagenet_is_one_clear_line(overrides: list[str], told: str) -> None:
    with pytest.raises(UserError) as refused:
        jobs(overrides, multirun=False)
    assert told in str(refused.value)


@pytest.mark.parametrize(
    ("overrides", "iterations"),
    [
        (["schedule.epochs=163.84"], 64_000),  # 50,000 images in batches of 128
        (["schedule.epochs=163.84", "scale=0.0625"], 4_000),
        (["schedule.epochs=182", "dataset.validation=5000"], round(182 * 45_000 / 128)),
        (["schedule.epochs=3", "dataset=synthetic", "batch_size=100"], 300),
        (["schedule.epochs=3", "dataset=synthetic", "dataset.train_images=640"], 15),
        (["schedule.epochs=0.001", "dataset=synthetic"], 1),
    ],
)
def test_epochs_are_iterations(overrides: list[str], iterations: int) -> None:
    assert composed(*overrides).schedule.iterations == iterations


def test_epochs_find_the_run_of_as_many_iterations() -> None:
    (job,), _ = jobs(["schedule.epochs=10.24"], multirun=False)
    assert str(job.folder) == "runs/cifar10/resnet20-A/schedule.iterations=4000/seed0"
    assert "epochs" not in to_plain(job.config)["schedule"]
    same = composed("schedule.epochs=163.84")
    assert differences(to_plain(same), to_plain(composed())) == []


def test_epochs_of_a_folder_are_counted(tmp_path: Path) -> None:
    words = ["model=resnet18", "schedule.epochs=90", "batch_size=4", f"dataset.root={tmp_path}"]
    with pytest.raises(DataError, match=r"schedule.epochs=90: "):
        jobs(words, multirun=False)
    write_folders(tmp_path)
    (job,), _ = jobs(words, multirun=False)
    images = len([*(tmp_path / "train").rglob("*.JPEG")])
    assert job.config.schedule.iterations == round(90 * images / 4)


def test_a_length_is_said_once() -> None:
    with pytest.raises(UserError, match="leave one out"):
        jobs(["schedule.epochs=10", "schedule.iterations=4000"], multirun=False)


def test_the_local_launcher_names_what_launches() -> None:
    """What `--info` shows for hydra/launcher=local."""
    node = ConfigStore.instance().load("hydra/launcher/local.yaml").node
    assert get_method(node["_target_"]) is local.sweep


def test_a_scaled_plateau_is_looked_for_as_often() -> None:
    run = composed("model=resnet18", "scale=0.05")
    assert (run.schedule.iterations, run.eval_every, run.schedule.patience) == (30_000, 250, 10)
    # milestones need no evaluations
    assert composed("scale=0.0625").eval_every == composed().eval_every


def test_one_wrong_run_stops_a_sweep_before_it_starts() -> None:
    with pytest.raises(UserError, match="resnet21"):
        jobs(["model=resnet20,resnet21"], multirun=True)


@pytest.mark.parametrize(
    ("sweep", "told"),
    [
        ("seed=range(0)", "seed=range(0): there is no value in this range"),
        ("seed=range(3,3)", "no value"),
        ("seed=range(0,5,0)", "no value"),
        ("seed=range(1000000000)", "1,000,000,000 runs: at most 10,000"),
        ("optimizer.lr=range(0,1,1e-9)", "1,000,000,000 runs"),
    ],
)
def test_a_sweep_without_sense_is_told_before_it_is_made(sweep: str, told: str) -> None:
    with pytest.raises(UserError, match=re.escape(told)):
        jobs([sweep], multirun=True)


def test_a_range_has_as_many_runs_as_values() -> None:
    assert len(jobs(["seed=range(1,8,3)", "model=plain20,resnet20"], multirun=True)[0]) == 3 * 2
    assert len(jobs(["optimizer.lr=range(0.1,0.5,0.1)"], multirun=True)[0]) == 4


def test_wide_resnets_have_their_own_recipe() -> None:
    """Zagoruyko and Komodakis 2016, section 3: 200 epochs, lr times 0.2 after 60, 120 and 160."""
    run = composed("model=wrn28_10", "schedule=wrn")
    schedule = Schedule(
        lr=run.optimizer.lr,
        iterations=run.schedule.iterations,
        gamma=run.schedule.gamma,
        milestones=tuple(run.schedule.milestones),
    )
    epoch = 50_000 / 128
    assert [schedule.iterations, *schedule.milestone_iterations] == pytest.approx(
        [epochs * epoch for epochs in (200, 60, 120, 160)], abs=1
    )
    assert (run.optimizer.lr, run.schedule.gamma, run.schedule.warmup_lr) == (0.1, 0.2, None)
    assert (run.optimizer.weight_decay, run.optimizer.nesterov) == (5e-4, True)


def test_one_network_under_two_names_has_one_folder() -> None:
    """ResNeXt-50 (1x64d) is ResNet-50 with the stride in the 3x3."""
    words = [["model=resnext50_1x64d"], ["model=resnet50", "model.stride_in=3x3"]]
    folders = {jobs(one, multirun=False)[0][0].folder for one in (*words, ["model=resnet50"])}
    assert len(folders) == 2

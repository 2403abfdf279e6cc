"""The benchmark's arithmetic, its contestants, and that nothing ends it before its time."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch

from resnet_cli.data.images import Normalizer, Split
from resnet_cli.data.resident import ResidentLoader
from resnet_cli.models.architecture import Shortcut, cifar
from resnet_cli.models.resnet import ResNet
from resnet_cli.models.seeds import Seeds
from resnet_cli.models.zoo import NETWORKS
from resnet_cli.runtime.compile import missing_for_compiling
from scripts.benchmark import kernels, step_profile, training
from scripts.benchmark.__main__ import choose_parts, main, read_options
from scripts.benchmark.contestants.seeds import SeedsLoader, SeedsStep, in_turn, one_step
from scripts.benchmark.limits import operations, traffic
from scripts.benchmark.plan import Deadline, NotMeasured, Settings
from scripts.benchmark.process import ROOT, Contestant, last_error
from scripts.benchmark.report import race_table
from scripts.benchmark.turns import Turns, race, race_processes, summarise, take_turns

NEVER = Deadline(float("inf"))


def run(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """The benchmark as a user starts it."""
    return run_module("scripts.benchmark", *words, **environment)


def run_module(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *map(str, words)]
    env = os.environ | environment
    return subprocess.run(command, capture_output=True, text=True, timeout=280, cwd=ROOT, env=env)


class Clock:
    """Goes only as far as it is told."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds

    def turn(self, seconds: float) -> Callable[[], float]:
        """That takes so long, at a rate of 1."""

        def take() -> float:
            self.seconds += seconds
            return 1.0

        return take


def fail() -> float:
    raise NotMeasured("killed by a test")


def settings(deadline: Deadline, *, rounds: int = 1) -> Settings:
    return Settings(device=torch.device("cpu"), rounds=rounds, seconds=0.01, deadline=deadline)


def test_bytes_by_hand() -> None:
    """ResNet-8 on 32x32, in bf16: seven convolutions and three blocks, written out.

    The network's 1 x 1 fc is nothing beside them.
    """
    sizes = [(3 * 1024, 16 * 1024)] + [(16 * 1024, 16 * 1024)] * 2
    sizes += [(16 * 1024, 32 * 256), (32 * 256, 32 * 256), (32 * 256, 64 * 64), (64 * 64, 64 * 64)]
    blocks = 16 * 1024 + 32 * 256 + 64 * 64
    net = cifar(8, shortcut=Shortcut.A)
    training = 2 * (sum(11 * e + 3 * i for i, e in sizes) + 2 * blocks)
    testing = 2 * (sum(i + e for i, e in sizes) + blocks)
    assert traffic(net, image_size=32, testing=False, bytes_per_value=2) == training
    assert traffic(net, image_size=32, testing=True, bytes_per_value=2) == testing


def test_operations_are_table_1s_six_times_over() -> None:
    """Forward and two gradients, a multiplication and an addition each."""
    net = NETWORKS["resnet50"]
    for testing, times in ((False, 6), (True, 2)):
        found = operations(net, image_size=224, testing=testing)
        assert found == pytest.approx(times * 3.8e9, rel=0.02)


def test_ratios_are_taken_round_by_round() -> None:
    """A slow round slows all; the median of ratios does not see it."""
    rates = {"theirs": [10.0, 2.0, 10.0], "ours": [30.0, 6.0, 31.0]}
    assert summarise(rates, "theirs")["ours"]["ratio"] == pytest.approx(3.0)
    assert summarise(rates, "theirs")["ours"]["images_per_second"] == 30.0
    assert summarise({"ours": [30.0]}, "theirs")["ours"]["ratio"] is None


def test_a_round_that_would_not_end_in_time_is_not_begun() -> None:
    """Rounds of 20 s in a minute and a half: four, and ten seconds are left over."""
    clock = Clock()
    turns: Turns = {"theirs": clock.turn(15), "ours": clock.turn(5)}
    rates, dropped = take_turns(turns, rounds=9, deadline=Deadline(1.5, clock))
    assert rates == {"theirs": [1.0] * 4, "ours": [1.0] * 4}
    assert dropped == {} and clock.seconds == 80
    rates, dropped = take_turns(turns, rounds=9, deadline=Deadline(0, clock))
    assert rates == {} and set(dropped.values()) == {"the time was up"}


def test_who_fails_loses_its_own_row() -> None:
    turns: Turns = {"theirs": fail, "ours": lambda: 3.0}
    found = race(turns, settings(NEVER, rounds=2), baseline="theirs")
    assert found["theirs"] == {"not_measured": "killed by a test"}
    assert found["ours"] == {"images_per_second": 3.0, "rounds": [3.0, 3.0], "ratio": None}
    table = race_table(found, rounds=2).splitlines()
    assert table[2:] == [
        "| theirs | not measured: killed by a test |  |  |",
        "| ours | 3.0 | 3.0 - 3.0 |  |",
    ]


def test_the_last_error_is_the_line_that_names_an_exception() -> None:
    text = "Traceback\n  x\ntorch.OutOfMemoryError: CUDA out of memory.\n\nSet THIS to see more\n"
    assert last_error(text) == "torch.OutOfMemoryError: CUDA out of memory."
    assert last_error("usage: ours\nours: error: no\n") == "ours: error: no"
    assert last_error("") == "no message"


@pytest.mark.slow
def test_contestants_take_turns_and_tell_of_themselves() -> None:
    """One that does not start and one that is killed meanwhile take nobody with them."""
    commands = {
        "theirs": ["usual", "resnet20", "4", "--testing"],
        "ours": ["ours", "resnet20", "4", "fp32"],
        "wrong": ["ours", "resnet20", "4", "fp8"],
    }
    found = race_processes(commands, settings(NEVER))
    assert list(found) == list(commands)
    for name in ("theirs", "ours"):
        assert found[name]["images_per_second"] > 0
        assert 0.1 < found[name]["peak_gib"] < 4
        assert found[name]["launches"] > 20  # 19 convolutions and the fc at least
    assert found["wrong"]["not_measured"].startswith("exit code 2: ")
    assert found["wrong"]["not_measured"].endswith("invalid Precision value: 'fp8'")


def test_one_that_is_killed_says_so() -> None:
    with Contestant(["dense", "resnet152"], NEVER) as one:
        one.process.send_signal(signal.SIGKILL)
        with pytest.raises(NotMeasured, match="killed by SIGKILL, as Linux does when memory runs"):
            one.ask()


@pytest.mark.slow
def test_the_index_where_there_is_no_git(tmp_path: Path) -> None:
    files = ["--json", tmp_path / "index.json", "--markdown", tmp_path / "index.md"]
    done = run("index", "--classes", 3, "--per-class", 7, *files, PATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "index.json").read_text())
    assert report["commit"] == "unknown"
    for step in ("build", "load"):
        found = report["index"][step]
        assert found["files"] == 3 * (7 + 50)
        scaled = found["seconds"] * 1_331_167 / found["files"]
        assert found["imagenet_seconds"] == pytest.approx(scaled)
    assert (tmp_path / "index.md").read_text() == done.stdout


def test_what_is_not_measured_in_time_is_listed(tmp_path: Path) -> None:
    done = run("scale", "index", "--minutes", 1e-9, "--json", tmp_path / "found.json")
    assert done.returncode == 1
    told = done.stdout.splitlines()[-1]
    assert told.startswith("Not measured, as the time was up: Index of a made-up tree")
    report = json.loads((tmp_path / "found.json").read_text())
    for key in ("index", "ranks", "start-up", "saving"):
        assert report[key] == {"not_measured": "the time was up"}


def test_bad_usage_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    for words, line in (
        (["resnet21"], "no plan or network resnet21: there are training, imagenet, index, scale,"),
        (["--minutes", "0"], "argument --minutes: invalid minutes value: '0'"),
        (["--seconds", "inf"], "argument --seconds: invalid positive value: 'inf'"),
        (["--rounds", "0"], "argument --rounds: invalid count value: '0'"),
    ):
        with pytest.raises(SystemExit, match="2"):
            main(words)
        assert line in capfd.readouterr().err.splitlines()[-1]


def seeds_loaders(count: int) -> list[ResidentLoader]:
    """Over the same images, which fill two epochs in three batches."""
    torch.manual_seed(0)
    images = torch.randint(0, 256, (6, 3, 32, 32), dtype=torch.uint8)
    split = Split(images, torch.randint(0, 10, (6,)))
    normalizer = Normalizer(torch.full((3, 32, 32), 120.0), torch.full((3, 1, 1), 60.0))
    return [
        ResidentLoader(split=split, normalizer=normalizer, batch_size=4, seed=seed)
        for seed in range(count)
    ]


def test_each_seed_of_one_network_gets_its_own_batches() -> None:
    together = SeedsLoader(seeds_loaders(3))
    for number in range(4):
        images, labels = together.prepare(*together.draw(number))
        assert images.is_contiguous(memory_format=torch.channels_last)
        for seed, loader in enumerate(seeds_loaders(3)):
            own_images, own_labels = loader.batch(number)
            assert torch.equal(images[:, 3 * seed : 3 * seed + 3], own_images)
            assert torch.equal(labels[4 * seed : 4 * seed + 4], own_labels)


@pytest.mark.numerical
def test_seeds_as_one_network_are_trained_as_in_turn() -> None:
    """The contestants do the same work: in float32, to a few hundred roundings."""
    how = {"dtype": torch.float32, "compiled": False}
    torch.manual_seed(1)
    networks = [ResNet(cifar(8, shortcut=Shortcut.A)) for _ in range(2)]
    wide = Seeds(networks)
    together = one_step(wide, SeedsLoader(seeds_loaders(2)), SeedsStep, **how)
    apart = in_turn(networks, seeds_loaders(2), packed=False, **how)
    before = networks[0].conv1.weight.detach().clone()
    for number in range(2):
        together(number)
        apart(number)
    assert not torch.equal(networks[0].conv1.weight, before)
    for network, state in zip(networks, wide.split(wide.state_dict()), strict=True):
        torch.testing.assert_close(state, dict(network.state_dict()), rtol=1e-4, atol=1e-5)


def test_networks_are_those_of_the_plan_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "Limits", Mock())  # tries out how fast the machine is

    def titles(*words: str) -> list[str]:
        return [part.title for part in choose_parts(read_options(list(words)), settings(NEVER))]

    of_three = titles("seeds", "resnet56", "--seeds", "3")
    assert of_three[0].startswith("3 seeds of resnet56, training, batch 128 each, ")
    assert not any(title.startswith("resnet56") for title in of_three)
    assert titles("seeds")[0].startswith("4 seeds of resnet20")
    assert titles("resnet20") == titles("training", "resnet20")
    assert titles("training", "seeds", "resnet20") == titles("resnet20") + titles("seeds")


def test_operations_are_counted_without_views_and_allocations() -> None:
    x = torch.ones(2, 3)
    with kernels.OperationCounter() as counter:
        y = torch.empty(2, 3)
        y.copy_(x.t().reshape(3, 2).t()[:, :1] + 1)
    assert counter.counts == {"aten.add.Tensor": 1, "aten.copy_.default": 1}


@pytest.mark.parametrize(("name", "most"), [("resnet20", 190), ("resnet110", 820)])
def test_a_step_gives_the_device_few_operations(name: str, most: int) -> None:
    """Beside 309 and 1,209 where each weight is cast, each layer counts, each batch is drawn."""
    assert most * 0.9 < kernels.count(name)["step"] <= most


def test_a_profile_names_the_kernels_that_take_longest() -> None:
    """Of ResNet-20, 19 convolutions each way; beyond the few that are shown there are more."""
    found = step_profile.profile_step("resnet20", compiled=False, batch=2, seconds=0.01)
    assert 0 < found["host_us"] <= found["step_us"]
    assert found["images_per_second"] == pytest.approx(2e6 / found["step_us"])
    times = [row["us"] for row in found["longest"].values()]
    assert times == sorted(times, reverse=True) and times[-1] > 0
    assert found["kernels"] > 2 * sum(row["calls"] for row in found["longest"].values()) / 3
    if not torch.cuda.is_available():
        assert found["longest"]["aten::convolution_backward"]["calls"] == 19
    text = step_profile.markdown({"resnet20": found, "resnet110": {"not_measured": "late"}})
    assert "| resnet110 | not measured: late |" in text and "resnet20, by time:" in text


@pytest.mark.skipif(find_spec("triton") is None, reason="needs Triton")
def test_a_fused_layer_is_two_launches_forward_and_three_back() -> None:
    """Of ResNet-20's 19, the stem has one fewer back; pooling is one forward and two back."""
    from scripts.benchmark import fused

    found = fused.count("resnet20")
    assert (found["forward"], found["backward"]) == (19 * 2 + 1, 19 * 3 - 1 + 2)
    assert found["others"] < 60


@pytest.mark.slow
@pytest.mark.skipif(find_spec("triton") is None, reason="needs Triton")
@pytest.mark.parametrize("name", ["bf16", "fp16", "fp32"])
def test_fused_kernels_compile_for_an_h100_and_fit_it(name: str) -> None:
    """Half precision multiplies on tensor cores and fp32 does not, which would round to TF32."""
    from scripts.benchmark import fused

    found = fused.measure("resnet20", fused.DTYPES[name])
    assert all(0 < one["shared"] <= fused.SHARED for one in found.values())
    assert all(one["spilled"] <= 64 for one in found.values())
    multiplied = {one for kernel in found.values() for one in kernel["products"]}
    assert multiplied & {"wgmma", "mma.sync"} == (
        set() if name == "fp32" else {"wgmma", "mma.sync"}
    )


@pytest.mark.slow
@pytest.mark.skipif(
    not torch.version.cuda or torch.__version__ < "2.14",
    reason="needs PyTorch's compiler for GPUs, as its version 2.14 has it",
)
def test_a_compiled_step_launches_few_kernels() -> None:
    """Beside 85 and 107 where batch norm sums map by map, as it does on a CPU."""
    done = run_module("scripts.benchmark.launches", "resnet20")
    found = json.loads(done.stdout)["resnet20"]
    assert found["forward"] + found["backward"] <= 170, done.stderr


@pytest.mark.slow
def test_seeds_as_one_network_launch_less_than_in_turn() -> None:
    words = ["resnet20", "2", "4", "bf16"]
    commands = {how: ["seeds", how, *words] for how in ("turns", "one")}
    found = race_processes(commands, settings(NEVER))
    assert found["one"]["launches"] < 0.6 * found["turns"]["launches"]


@pytest.mark.slow
@pytest.mark.skipif(
    missing_for_compiling() is not None,
    reason="PyTorch's compiler needs g++ or clang++ and Python.h",
)
def test_the_whole_benchmark_of_one_network(tmp_path: Path) -> None:
    files = ["--json", tmp_path / "speed.json", "--markdown", tmp_path / "speed.md"]
    done = run("resnet20", "--rounds", 1, "--seconds", 0.5, *files)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "speed.json").read_text())
    for title in ("resnet20, training, batch 128, 32x32", "resnet20, testing, 32x32"):
        found = report[title]
        assert next(iter(found)) == "usual script, fp32"
        assert all(0 < one["of_copy"] < 1 and 0 < one["of_matmul"] < 1 for one in found.values())
        assert title in (tmp_path / "speed.md").read_text()
    trained = report["resnet20, training, batch 128, 32x32"]
    fast = next(name for name in trained if name.endswith("compiled"))
    assert trained[fast]["ratio"] > 1.5

"""Two ranks against one process: the same images, the same statistics, the same weights; and
every test image counted once.
"""

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import batch_norm

from resnet_cli.data.images import Normalizer, Split
from resnet_cli.data.resident import ResidentLoader
from resnet_cli.data.sampling import batch_indices
from resnet_cli.evaluation.protocol import ImageTest
from resnet_cli.models.layers import BatchNorm
from resnet_cli.runtime.device import cores
from resnet_cli.runtime.distributed import Context
from tests.data.trees import write_folders
from tests.helpers.commands import Command, check_refused
from tests.helpers.numbers import assert_same
from tests.helpers.processes import PATIENCE, finish, spawn
from tests.helpers.runs import ended, folder_of, logged
from tests.launch.ranks import RUN, check_same
from tests.launch.trained import train

TOO_MANY = cores() + 1
PICTURES = Normalizer(torch.zeros(3, 1, 1), torch.ones(3, 1, 1))


@pytest.mark.parametrize("world", [2, 4])
def test_the_ranks_shares_are_one_processs_batch(world: int) -> None:
    for iteration in (0, 3, 11):  # some batches cross the end of an epoch
        whole = batch_indices(iteration, batch_size=12, count=50, seed=3)
        parts = [
            batch_indices(iteration, batch_size=12, count=50, seed=3, part=(rank, world))
            for rank in range(world)
        ]
        for one, shares in zip(whole, zip(*parts, strict=True), strict=True):
            assert_same(one, torch.cat(shares))


@pytest.mark.numerical
def test_the_ranks_images_are_one_processs_augmented_alike() -> None:
    split = Split(torch.randint(0, 256, (50, 3, 32, 32), dtype=torch.uint8), torch.arange(50) % 10)
    whole = ResidentLoader(split=split, normalizer=PICTURES, batch_size=12, seed=3).batch(4)
    parts = [
        ResidentLoader(
            split=split, normalizer=PICTURES, batch_size=12, seed=3, part=(rank, 3)
        ).batch(4)
        for rank in range(3)
    ]
    for one, shares in zip(whole, zip(*parts, strict=True), strict=True):
        assert_same(one, torch.cat(shares))


@pytest.mark.parametrize("world", [1, 2, 3])
def test_every_image_is_tested_once(world: int) -> None:
    split = Split(torch.zeros(47, 3, 32, 32, dtype=torch.uint8), torch.zeros(47, dtype=torch.int64))
    test = ImageTest(split, batch_size=5)
    network: Any = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 2))
    contexts = [Context(rank=rank, world=world) for rank in range(world)]
    seen = [
        index
        for one in contexts
        for batch in test.scores([(network, PICTURES)], dtype=torch.float32, context=one)
        for index in batch[2].tolist()
    ]
    assert sorted(seen) == list(range(47))


@pytest.mark.numerical
def test_bn_in_groups_is_bn_on_each_of_several_devices() -> None:
    torch.manual_seed(0)
    x = torch.randn(12, 5, 3, 3)
    ours, alone = BatchNorm(5), torch.nn.BatchNorm2d(5)
    ours.group_size = 4
    expected = torch.cat(
        [batch_norm(part, None, None, ours.weight, ours.bias, training=True) for part in x.split(4)]
    )
    assert_same(ours(x), expected)
    alone(x[:4])  # what the first device would have seen
    assert_same(ours.running_mean, alone.running_mean)
    assert_same(ours.running_var, alone.running_var)
    assert_same(ours.eval()(x), alone.eval()(x))


# Before roundings can grow: an activation near 0 that falls to the other side of a ReLU changes a
# gradient by much more than a last bit.
SHORT = ["schedule.iterations=4", "log_every=2", "eval_every=4"]


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("two") / "runs"
    code, _, err = finish(spawn(*RUN, *SHORT, "devices=2", f"runs={runs}"))
    assert (code, err) == (0, "")
    return runs


def test_two_ranks_are_one_process_that_normalises_each_half(tmp_path: Path) -> None:
    """Two sums of 16 gradients, then theirs, against one of 32: in float64 nearly the same."""
    torchrun(2, "tests.launch.trained", tmp_path / "trained.pt")
    ranks = torch.load(tmp_path / "trained.pt", weights_only=True)
    halves, whole = (train(Context(), bn_batch=group) for group in (16, None))
    torch.testing.assert_close(ranks["network"], halves["network"], rtol=1e-9, atol=1e-10)
    # the loss of a batch is taken in float32
    assert (ranks["loss"], ranks["wrong"]) == (pytest.approx(halves["loss"]), halves["wrong"])
    with pytest.raises(AssertionError):  # other statistics are another training
        torch.testing.assert_close(ranks["network"], whole["network"], rtol=1e-4, atol=1e-5)


def test_two_devices_and_bn_batch_are_the_same_run(
    two_ranks: Path, runs: Path, command: Command
) -> None:
    """Through the door, so in float32: a few steps at a low rate."""
    assert command("resnet-train", *RUN, *SHORT, "bn_batch=16", f"runs={runs}").code == 0
    assert folder_of(runs).relative_to(runs) == folder_of(two_ranks).relative_to(two_ranks)
    (ranks, points), (halves, wanted) = ended(two_ranks), ended(runs)
    torch.testing.assert_close(ranks["network"], halves["network"], rtol=1e-4, atol=1e-5)
    assert len(points) == len(wanted)
    for ours, theirs in zip(points, wanted, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)  # the same images wrong, too


def torchrun(ranks: int, *words: object) -> "subprocess.CompletedProcess[str]":
    start = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        f"--nproc-per-node={ranks}",
        "--rdzv-backend=c10d",
        "--rdzv-endpoint=localhost:0",
    ]
    done = subprocess.run(
        [*start, "-m", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.slow
def test_three_ranks_measure_what_one_process_does() -> None:
    """An odd-sized set in batches that three do not share evenly; gathered over gloo."""
    alone = subprocess.run(
        [sys.executable, "-m", "tests.launch.measured"], capture_output=True, text=True, check=True
    ).stdout
    assert "Errors(" in alone
    assert torchrun(3, "tests.launch.measured").stdout == alone * 3


@pytest.mark.slow
def test_three_ranks_resume_bit_for_bit(runs: Path, tmp_path: Path) -> None:
    """Of three summands the order counts: a resumed run's first step must add up as every other
    does.
    """
    words = ["resnet_cli.train", *RUN, "batch_size=33", "schedule.iterations=30"]
    torchrun(3, *words, f"runs={tmp_path / 'whole'}")
    torchrun(3, *words, f"runs={runs}")
    folder = folder_of(runs)
    (folder / "result.json").unlink()
    (folder / "checkpoints" / "last.pt").unlink()  # the one before is of iteration 20
    torchrun(3, *words, f"runs={runs}")
    check_same(runs, tmp_path / "whole")


@pytest.mark.slow
def test_compiled_ranks_are_one_compiled_process(runs: Path, tmp_path: Path) -> None:
    words = [*RUN, *SHORT, "compile=on"]
    assert finish(spawn(*words, "devices=2", f"runs={runs}"))[0] == 0
    assert finish(spawn(*words, "bn_batch=16", f"runs={tmp_path / 'one'}"))[0] == 0
    for one, other in zip(logged(runs), logged(tmp_path / "one"), strict=True):
        assert one == pytest.approx(other, rel=1e-4)


@pytest.mark.slow
def test_photographs_come_to_ranks_and_to_runs_side_by_side(tmp_path: Path, runs: Path) -> None:
    """Loader processes are forked under ranks and under workers of a sweep, whose stdin another
    thread reads.
    """
    root = write_folders(tmp_path / "folders")
    words = [
        "model=resnet18",
        "model.stem=cifar",
        f"dataset.root={root}",
        "dataset.image_size=32",
        "dataset.workers=1",
        "batch_size=4",
    ]
    words += [
        "schedule=imagenet_steps",
        "schedule.iterations=4",
        "log_every=2",
        "eval_every=4",
        "device=cpu",
        "precision=fp32",
        "optimizer.lr=0.001",
    ]
    for where in (["devices=2"], ["-m", "bn_batch=2", "hydra/launcher=local"]):
        code, _, err = finish(spawn(*words, *where, f"runs={runs / where[0]}"))
        assert code == 0, err
    for one, other in zip(logged(runs / "devices=2"), logged(runs / "-m"), strict=True):
        assert one == pytest.approx(other, rel=1e-3)


def test_torchrun_starts_the_same_run(two_ranks: Path, runs: Path) -> None:
    done = torchrun(2, "resnet_cli.train", *RUN, *SHORT, f"runs={runs}")
    assert done.stdout.count("last iteration") == 1  # only the first rank speaks
    check_same(runs, two_ranks)


def test_a_port_that_is_taken_is_one_line(
    command: Command, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("", 0)) as taken:
        port = str(taken.getsockname()[1])
        where = {
            "RANK": "0",
            "WORLD_SIZE": "2",
            "LOCAL_RANK": "0",
            "MASTER_ADDR": "localhost",
            "MASTER_PORT": port,
        }
        for name, value in where.items():
            monkeypatch.setenv(name, value)
        check_refused(
            command("resnet-train", *RUN, f"runs={runs}"),
            2,
            f"port {port} of localhost is in use",
            "MASTER_PORT",
        )
    assert not runs.exists()


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["devices=3"], ["devices=3", "2 processes were started"]),
        (["dry_run=true"], ["dry_run=true", "devices=N"]),
        (["-m", "seed=0,1"], ["torchrun and srun start the processes of one run"]),
    ],
)
def test_what_torchrun_cannot_be_asked_is_one_line(
    command: Command,
    runs: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    parts: list[str],
) -> None:
    where = {
        "RANK": "0",
        "WORLD_SIZE": "2",
        "LOCAL_RANK": "0",
        "MASTER_ADDR": "localhost",
        "MASTER_PORT": "1",
    }
    for name, value in where.items():
        monkeypatch.setenv(name, value)
    check_refused(command("resnet-train", *RUN, f"runs={runs}", *arguments), 2, *parts)
    assert not runs.exists()


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ([f"devices={TOO_MANY}", f"batch_size={TOO_MANY}"], [f"devices={TOO_MANY}", "there"]),
        (["devices=none"], ["devices=none", "number above 0"]),
        (["devices=2", "batch_size=33"], ["batch_size=33", "devices=2"]),
        (["devices=2", "sync_bn=true"], ["sync_bn=true", "CPU"]),
        (["bn_batch=5"], ["bn_batch=5", "multiple"]),
        (["bn_batch=16", "sync_bn=true"], ["sync_bn=true", "bn_batch=16"]),
        (["timeout=0"], ["timeout=0"]),
        (["max_restarts=-1"], ["max_restarts=-1"]),
    ],
)
def test_what_does_not_fit_is_one_line(
    command: Command, runs: Path, arguments: list[str], parts: list[str]
) -> None:
    check_refused(command("resnet-train", *RUN, f"runs={runs}", *arguments), 2, *parts)
    assert not runs.exists()

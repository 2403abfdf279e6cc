"""The benchmark's own arithmetic, and its contestants: every one starts, trains or tests, and
tells of itself.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from resnet_cli.models.architecture import Shortcut, cifar
from resnet_cli.models.zoo import NETWORKS
from resnet_cli.runtime.compile import missing_for_compiling

SCRIPTS = Path(__file__).parents[1] / "scripts"
sys.path.insert(0, str(SCRIPTS))

from limits import operations, traffic  # noqa: E402
from turns import Contestant, summarise  # noqa: E402


def test_bytes_by_hand() -> None:
    """ResNet-8 on 32x32, in bf16: seven convolutions and three blocks, written out.

    The network's 1 x 1 fc is nothing beside them.
    """
    sizes = [(3 * 1024, 16 * 1024)] + [(16 * 1024, 16 * 1024)] * 2
    sizes += [(16 * 1024, 32 * 256), (32 * 256, 32 * 256), (32 * 256, 64 * 64), (64 * 64, 64 * 64)]
    blocks = 16 * 1024 + 32 * 256 + 64 * 64
    net = cifar(8, shortcut=Shortcut.A)
    training = sum(11 * e + 3 * i for i, e in sizes) + 2 * blocks
    assert traffic(net, image_size=32, testing=False, bytes_per_value=2) == 2 * training
    assert traffic(net, image_size=32, testing=True, bytes_per_value=2) == 2 * (
        sum(i + e for i, e in sizes) + blocks
    )


def test_operations_are_table_1s_six_times_over() -> None:
    """Forward and two gradients, a multiplication and an addition each."""
    assert operations(NETWORKS["resnet50"], image_size=224, testing=False) == pytest.approx(
        6 * 3.8e9, rel=0.02
    )
    assert operations(NETWORKS["resnet50"], image_size=224, testing=True) == pytest.approx(
        2 * 3.8e9, rel=0.02
    )


def test_ratios_are_taken_round_by_round() -> None:
    """A slow round slows all; the median of ratios does not see it."""
    report = summarise({"theirs": [10.0, 2.0, 10.0], "ours": [30.0, 6.0, 31.0]})
    assert report["ours"]["ratio"] == pytest.approx(3.0)
    assert report["ours"]["images_per_second"] == 30.0


@pytest.mark.parametrize(("script", "testing"), [("usual.py", True), ("ours.py", False)])
def test_a_contestant_takes_turns_and_tells_of_itself(script: str, testing: bool) -> None:
    words = [
        script,
        "resnet20",
        "4",
        *(["fp32"] if script == "ours.py" else []),
        *(["--testing"] if testing else []),
    ]
    one = Contestant("it", words)
    try:
        assert one.rate(2) > 0
        assert one.rate(1) > 0
        facts = one.ask("")
    finally:
        one.close()
    assert 0.1 < facts["peak_gib"] < 4
    assert facts["launches"] > 20  # 19 convolutions and the fc at least


def test_a_contestant_that_ends_is_named() -> None:
    one = Contestant("ours, wrong", ["ours.py", "resnet20", "4", "fp8"])
    with pytest.raises(RuntimeError, match="ours, wrong ended with exit code 2"):
        one.rate(1)


@pytest.mark.slow
@pytest.mark.skipif(
    missing_for_compiling() is not None,
    reason="PyTorch's compiler needs g++ or clang++ and Python.h",
)
def test_the_whole_benchmark_of_one_network(tmp_path: Path) -> None:
    command = [
        sys.executable,
        str(SCRIPTS / "benchmark.py"),
        "resnet20",
        "--rounds",
        "1",
        "--seconds",
        "0.5",
    ]
    files = ["--json", str(tmp_path / "speed.json"), "--markdown", str(tmp_path / "speed.md")]
    done = subprocess.run([*command, *files], capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "speed.json").read_text())
    for title in ("resnet20, training, batch 128, 32x32", "resnet20, testing, 32x32"):
        found = report[title]
        assert next(iter(found)) == "usual script, fp32"
        assert all(0 < one["of_copy"] < 1 and 0 < one["of_matmul"] < 1 for one in found.values())
        assert title in (tmp_path / "speed.md").read_text()
    fast = next(
        name for name in report["resnet20, training, batch 128, 32x32"] if name.endswith("compiled")
    )
    assert report["resnet20, training, batch 128, 32x32"][fast]["ratio"] > 1.5

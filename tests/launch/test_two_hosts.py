"""Two hosts: network namespaces joined by a virtual cable, a rank on each, started by torchrun;
then the cable is cut.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.processes import finish, spawn, wait_for
from tests.helpers.runs import folder_of
from tests.launch.ranks import RUN, check_same, has_logged

HOSTS = {"resnet-a": "10.77.7.1", "resnet-b": "10.77.7.2"}


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@pytest.fixture
def hosts() -> Iterator[None]:
    if shutil.which("ip") is None or os.geteuid() != 0:
        pytest.skip("needs iproute2 and root, to make network namespaces")
    try:
        for name in HOSTS:
            ip("netns", "add", name)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"cannot make network namespaces: {error.stderr.strip()}")
    try:
        ip(
            "link",
            "add",
            "cable-a",
            "netns",
            "resnet-a",
            "type",
            "veth",
            "peer",
            "name",
            "cable-b",
            "netns",
            "resnet-b",
        )
        for name, address in HOSTS.items():
            ip("-n", name, "addr", "add", f"{address}/24", "dev", f"cable-{name[-1]}")
            ip("-n", name, "link", "set", f"cable-{name[-1]}", "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield
    finally:
        for name in HOSTS:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def torchrun(host: str, number: int, *arguments: object) -> "subprocess.Popen[str]":
    """One host's part of a run on both."""
    words = [
        "ip",
        "netns",
        "exec",
        host,
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nnodes=2",
        f"--node-rank={number}",
    ]
    words += [
        "--nproc-per-node=1",
        "--master-addr=10.77.7.1",
        "--master-port=29777",
        "-m",
        "resnet_cli.train",
        *map(str, arguments),
    ]
    cable = {"GLOO_SOCKET_IFNAME": f"cable-{host[-1]}"}
    return subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | cable
    )


@pytest.mark.slow
def test_a_host_that_is_cut_off_ends_the_run_and_both_go_on_later(
    hosts: None, runs: Path, tmp_path: Path
) -> None:
    arguments = [*RUN, "schedule.iterations=100", "timeout=20"]
    assert finish(spawn(*arguments, "devices=2", f"runs={tmp_path / 'undisturbed'}"))[0] == 0

    parts = [
        torchrun(host, number, *arguments, f"runs={runs}") for number, host in enumerate(HOSTS)
    ]
    wait_for(lambda: has_logged(runs, 40))
    ip("-n", "resnet-b", "link", "set", "cable-b", "down")
    told = [finish(part) for part in parts]
    assert all(code != 0 for code, _, _ in told)
    for rank, (_, _, err) in enumerate(told):
        assert f"resnet-train: rank {rank}: another one" in err, err  # is gone, or did not answer
    assert not list(runs.rglob("result.json"))

    ip("-n", "resnet-b", "link", "set", "cable-b", "up")
    ended = [
        finish(part)
        for part in [
            torchrun(host, number, *arguments, f"runs={runs}") for number, host in enumerate(HOSTS)
        ]
    ]
    assert [code for code, _, _ in ended] == [0, 0], ended
    assert "resuming at iteration" in ended[0][1]
    assert json.loads((folder_of(runs) / "result.json").read_text())["devices"] == 2
    check_same(runs, tmp_path / "undisturbed")

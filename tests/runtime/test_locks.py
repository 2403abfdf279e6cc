"""A run folder on a file system without locks, which clusters have."""

import errno
import fcntl
import json
import os
import platform
from pathlib import Path

import pytest

from resnet_cli.data.index import index_path
from resnet_cli.run.folder import RunFolder
from resnet_cli.runtime.errors import UserError
from tests.helpers.commands import TINY, Command, check_refused


def _no_locks(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOTSUP])
def test_a_run_without_flock(
    command: Command, runs: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    _no_locks(monkeypatch, code)
    folder = runs / "synthetic/resnet8-A/seed0"
    folder.mkdir(parents=True)
    (folder / ".lock.held").write_text(f"{2**22 + 1}\n{platform.node()}\n")  # above any pid
    short = [*TINY, "schedule.iterations=4", "eval_every=4", f"runs={runs}"]
    done = command("resnet-train", *short)
    assert done.code == 0, done
    assert done.err.count("without locks") == 1, done.err
    (result,) = runs.rglob("result.json")
    assert json.loads(result.read_text())
    assert not {".lock.held", ".holder"} & {path.name for path in result.parent.iterdir()}


def test_a_second_process_stays_out_without_flock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _no_locks(monkeypatch, errno.ENOLCK)
    first, second = RunFolder(tmp_path), RunFolder(tmp_path)
    refused = pytest.raises(UserError, match=f"process {os.getpid()} on .*delete .*held")
    with first.locked(), refused, second.locked():
        pass
    with second.locked():
        pass
    (tmp_path / ".lock.held").write_text("1\nanother-host\n")  # nobody here can tell if it lives
    with pytest.raises(UserError, match="if that is gone, delete"), first.locked():
        pass


def test_what_a_killed_process_left_is_cleared(command: Command, runs: Path) -> None:
    short = [*TINY, "schedule.iterations=4", "eval_every=4", f"runs={runs}"]
    assert command("resnet-train", *short).code == 0
    (result,) = runs.rglob("result.json")
    holder = result.with_name(".holder")
    holder.write_text("4194305 on elsewhere")
    assert command("resnet-train", *short).code == 0
    assert not holder.exists()


def test_nobody_without_a_home_gets_a_folder_named_tilde(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HOME")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)  # as where the user is not in /etc/passwd
    assert index_path(tmp_path).is_absolute()
    refused = command("resnet-train", *TINY, "runs=~/runs")
    check_refused(refused, 2, "~/runs", "no such home folder")
    assert list(tmp_path.iterdir()) == []

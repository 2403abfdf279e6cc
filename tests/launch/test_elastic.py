"""Processes killed, stopped, silenced and starved while two ranks train: what was saved goes on
and ends where nothing had happened.
"""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

from resnet_cli.launch.elastic import _why_lost
from resnet_cli.runtime.errors import Told
from tests.helpers.processes import PATIENCE, alive, finish, spawn, wait_for
from tests.helpers.runs import folder_of
from tests.launch.ranks import RUN, check_same, has_logged, start

LONG = "schedule.iterations=60"
GRACE = 30  # seconds that elastic leaves processes which do not end when they are told to


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("undisturbed") / "runs"
    code, _, err = finish(spawn(*RUN, LONG, "devices=2", f"runs={runs}"))
    assert (code, err) == (0, "")
    return runs


def stop_midway(runs: Path) -> None:
    process, _ = start(runs, LONG, until=20)
    process.send_signal(signal.SIGTERM)
    assert finish(process)[0] == 128 + signal.SIGTERM


def go_on(runs: Path, undisturbed: Path) -> str:
    """The same command, to its end; returns what it said."""
    code, out, err = finish(spawn(*RUN, LONG, "devices=2", f"runs={runs}"))
    assert code == 0, err
    check_same(runs, undisturbed)
    return out


def test_a_killed_rank_makes_all_start_anew_and_nothing_is_lost(
    runs: Path, undisturbed: Path
) -> None:
    process, ranks = start(runs, LONG, until=20)
    os.kill(ranks[1], signal.SIGKILL)
    code, _, err = finish(process)
    assert code == 0 and "rank 1 was killed by SIGKILL" in err and "restart 1 of 3" in err
    assert err.count("\n") == 1, err
    check_same(runs, undisturbed)


@pytest.mark.parametrize("exitcode", [-signal.SIGKILL, 128 + signal.SIGTERM])
def test_whom_elastic_stopped_because_of_another_was_not_stopped_by_a_person(exitcode: int) -> None:
    """Rank 1 is killed and rank 0 told to stop, which it may do before it misses rank 1; or rank 0
    was told to by a person, and both agreed.
    """
    failed = ChildFailedError("x", {1: ProcessFailure(1, pid=2, exitcode=exitcode, error_file="")})
    reports = [("stopped by SIGTERM", 128 + signal.SIGTERM)]
    if exitcode < 0:
        assert _why_lost(failed, reports) == "rank 1 was killed by SIGKILL"
    else:
        with pytest.raises(Told, match="stopped by SIGTERM"):
            _why_lost(failed, reports)


@pytest.mark.slow
def test_restarts_come_to_an_end(runs: Path, undisturbed: Path) -> None:
    process, ranks = start(runs, LONG, "max_restarts=0", until=20)
    os.kill(ranks[0], signal.SIGKILL)
    code, _, err = finish(process)
    assert (
        code == 1
        and "rank 0 was killed by SIGKILL; max_restarts=0 used up" in err
        and err.count("\n") == 1
    ), err
    assert "resuming at iteration" in go_on(runs, undisturbed)


@pytest.mark.slow
def test_a_killed_parent_leaves_no_orphan(runs: Path, undisturbed: Path, tmp_path: Path) -> None:
    """Nor what it had to tell its ranks, in the temporary folder."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    process, ranks = start(runs, LONG, until=20, env={"TMPDIR": str(temporary)})
    assert [*temporary.glob("resnet-train-*/plan.json")]
    process.kill()
    process.communicate()
    wait_for(lambda: not any(alive(pid) for pid in ranks))
    assert not [*temporary.glob("resnet-train-*")]
    go_on(runs, undisturbed)


@pytest.mark.parametrize(
    "signum",
    [
        pytest.param(signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(signal.SIGUSR1, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, marks=pytest.mark.slow),
    ],
)
def test_a_signal_to_the_parent_saves_and_ends_all(
    runs: Path, undisturbed: Path, signum: signal.Signals
) -> None:
    process, ranks = start(runs, LONG, until=20)
    began = time.monotonic()
    process.send_signal(signum)
    code, out, err = finish(process)
    assert code == 128 + signum
    assert time.monotonic() - began < GRACE
    assert not any(alive(pid) for pid in ranks)
    assert "stopped" in err and "the same command continues" in err and "Traceback" not in err + out
    go_on(runs, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_signal_to_one_rank_stops_all_at_one_step(
    runs: Path, undisturbed: Path, rank: int
) -> None:
    process, ranks = start(runs, LONG, until=20)
    for _ in range(3):  # as SLURM does: to whichever it reaches first, and again through the parent
        os.kill(ranks[rank], signal.SIGUSR1)
    code, _, err = finish(process)
    assert (
        code == 128 + signal.SIGUSR1 and "stopped at iteration" in err and err.count("\n") == 1
    ), err
    saved = torch.load(folder_of(runs) / "checkpoints" / "last.pt", weights_only=True)["progress"][
        "iteration"
    ]
    assert f"stopped at iteration {saved} of" in err  # what is said is what was saved
    go_on(runs, undisturbed)


def is_pending(pid: int, signum: signal.Signals) -> bool:
    """Whether a signal waits for a process, which has been stopped."""
    (waiting,) = re.findall(r"ShdPnd:\s+(\w+)", Path(f"/proc/{pid}/status").read_text())
    return bool(int(waiting, 16) >> (signum - 1) & 1)


@pytest.mark.slow
def test_a_rank_that_hangs_is_given_up(runs: Path, undisturbed: Path) -> None:
    process, ranks = start(runs, LONG, "timeout=20", until=20)
    os.kill(ranks[1], signal.SIGSTOP)
    wait_for(lambda: not alive(ranks[0]))
    wait_for(lambda: is_pending(ranks[1], signal.SIGTERM))  # elastic has seen it
    os.kill(ranks[1], signal.SIGKILL)  # what elastic would do after GRACE
    code, _, err = finish(process)
    assert code == 0 and "did not answer for timeout=20 s" in err and "restart 1 of 3" in err, err
    check_same(runs, undisturbed)


@pytest.mark.slow
def test_a_broken_newest_checkpoint_falls_back_on_all_ranks(runs: Path, undisturbed: Path) -> None:
    stop_midway(runs)
    last = folder_of(runs) / "checkpoints" / "last.pt"
    last.write_bytes(last.read_bytes()[:1000])
    code, _, err = finish(spawn(*RUN, LONG, "devices=2", f"runs={runs}"))
    assert code == 0 and "falling back to previous.pt" in err
    check_same(runs, undisturbed)


@pytest.mark.slow
def test_a_users_mistake_is_told_once_and_starts_nothing_anew(runs: Path) -> None:
    code, _, err = finish(spawn(*RUN, LONG, "devices=2", f"runs={runs}", "resume=/nowhere.pt"))
    assert code == 2 and err.count("/nowhere.pt") == 1 and "restart" not in err, err


@pytest.mark.slow
def test_a_rank_killed_while_saving_leaves_the_checkpoint_before(
    runs: Path, undisturbed: Path, tmp_path: Path
) -> None:
    once = tmp_path / "once"
    once.touch()
    (tmp_path / "sitecustomize.py").write_text(
        "import os, pathlib\n"
        f"saves, once, original = 3, pathlib.Path({str(once)!r}), os.fsync\n"
        "def fsync(fd):\n"
        "    global saves\n"
        "    if os.readlink(f'/proc/self/fd/{fd}').endswith('last.pt.part') and once.exists():\n"
        "        saves -= 1\n"
        "        if not saves:\n"
        "            once.unlink()\n"
        "            os.ftruncate(fd, 1000)\n"
        "            os.kill(os.getpid(), 9)\n"
        "    original(fd)\n"
        "os.fsync = fsync\n"
    )
    code, out, err = finish(
        spawn(
            *RUN,
            LONG,
            "devices=2",
            f"runs={runs}",
            env={"PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"},
        )
    )
    assert code == 0 and "rank 0 was killed by SIGKILL" in err and not once.exists()
    assert "resuming at iteration 20" in out
    check_same(runs, undisturbed)


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_loses_nothing(runs: Path, undisturbed: Path) -> None:
    """The kernel refuses files over 100 kB, as a full disk would: checkpoints are larger."""
    stop_midway(runs)
    small = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))"
    program = f"{small}; import sys; from resnet_cli.train import main; sys.exit(main())"
    words = [sys.executable, "-c", program, *RUN, LONG, "devices=2", f"runs={runs}"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (
        done.returncode == 1
        and "what was saved before stands" in done.stderr
        and done.stderr.count("\n") == 1
    ), done.stderr
    go_on(runs, undisturbed)


@pytest.mark.slow
def test_divergence_on_two_ranks_is_told_once(runs: Path) -> None:
    code, _, err = finish(spawn(*RUN, LONG, "devices=2", "optimizer.lr=1e30", f"runs={runs}"))
    assert code == 4 and err.count("not finite") == 1, err


@pytest.mark.slow
def test_other_counts_of_devices_take_over(runs: Path) -> None:
    """Two ranks of 16 and one process that normalises every 16 are one run: what one began, the
    other may finish.
    """
    stop_midway(runs)
    code, out, err = finish(spawn(*RUN, LONG, "bn_batch=16", f"runs={runs}"))
    assert (code, err) == (0, "") and "resuming at iteration" in out
    assert has_logged(runs, 60)

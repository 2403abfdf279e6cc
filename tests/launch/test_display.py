"""How a sweep is shown: on a terminal and elsewhere."""

import fcntl
import json
import os
import pty
import re
import struct
import sys
import termios
from contextlib import suppress
from pathlib import Path

import pytest

from resnet_cli.launch.display import (
    LineDisplay,
    TableDisplay,
    make_display,
    newest_log_points,
    short_names,
)
from resnet_cli.launch.outcome import Outcome, outcome_of, print_outcomes
from resnet_cli.run.run import Run
from tests.launch.small_sweep import planned


def log(run: Run, iteration: int, **values: float) -> None:
    run.folder.path.mkdir(parents=True, exist_ok=True)
    with (run.folder.path / "metrics.jsonl").open("a") as file:
        file.write(
            json.dumps(
                {"iteration": iteration, "train/loss": 2.5, "images_per_second": 32.0, **values}
            )
            + "\n"
        )


def test_names_are_what_tells_runs_apart(runs: Path) -> None:
    assert short_names(planned(runs)) == [
        "plain8/seed0",
        "plain8/seed1",
        "resnet8-A/seed0",
        "resnet8-A/seed1",
    ]
    assert short_names(planned(runs)[:1]) == ["seed0"]
    mixed = planned(runs, "model=plain20") + planned(
        runs, "model=plain20", "optimizer.lr=0.2", "seed=3"
    )
    assert len(set(short_names(mixed))) == 3


def test_the_newest_log_points_of_a_file_that_grows(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    assert newest_log_points(path) == []
    path.write_text(
        "".join(json.dumps({"iteration": n, "lr": 0.1}) + "\n" for n in range(1000))
        + '{"iteration": 1000, "l'
    )
    assert [line["iteration"] for line in newest_log_points(path)][-1] == 999
    assert 10 < len(newest_log_points(path)) < 1000


def test_lines_now_and_then(runs: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A line when a run starts and ends, and one each 20 s in which it came further."""
    some, now = planned(runs)[:2], 0.0
    display = LineDisplay(some, clock=lambda: now)
    for number in range(2):
        display.started(number, "here")
    log(some[0], 12, **{"test/error": 88.0})
    log(some[0], 16, **{"train/error": 77.0})
    for now in (10.0, 21.0, 30.0, 42.0):  # noqa: B007  the clock reads it
        display.refresh()
    display.ended(0, Outcome("test error 80.00 %, training error 70.00 %"))
    display.ended(1, Outcome("the loss is not finite", 4))
    out, err = capfd.readouterr()
    assert out.splitlines() == [
        "seed0 starts (here)",
        "seed1 starts (here)",
        # 8 steps of 32 images
        "seed0 16/24  train error 77.00 %  test error 88.00 % at 12  ETA 8 s",
        "seed0 is done: test error 80.00 %, training error 70.00 %",
    ]
    assert err == "resnet-train: seed1: the loss is not finite\n"


@pytest.mark.parametrize(("width", "height"), [(120, 30), (80, 7)])
def test_a_terminal_gets_a_table(
    runs: Path, monkeypatch: pytest.MonkeyPatch, width: int, height: int
) -> None:
    """Every run has its row as long as they fit, the running ones before the others, and what
    ended is told above. An error stands beside the iteration it was measured at.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
    some = planned(runs)
    for name, value in {"TERM": "xterm", "COLUMNS": str(width), "LINES": str(height)}.items():
        monkeypatch.setenv(name, value)
    with os.fdopen(theirs, "w") as terminal, monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", terminal)
        patched.setattr(sys, "stderr", terminal)
        display = make_display(some)
        assert isinstance(display, TableDisplay)
        with display:
            for number in (0, 2, 3):
                display.started(number, "here")
            log(some[3], 12, **{"test/error": 87.65, "train/error": 76.54})
            log(some[3], 16, **{"train/error": 75.43})
            display.ended(0, Outcome("the loss is not finite", 4))
            display.refresh()
    text = ""
    with suppress(OSError):  # the other end is closed
        while part := os.read(ours, 65536):
            text += part.decode()
    os.close(ours)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "")
    assert "resnet-train: plain8/seed0: the loss is not finite\n" in plain
    last = plain[plain.rindex("run ") :]
    assert re.search(r"resnet8-A/seed1 .* 16 +75.43 +87.65 +12 +32 +8 s", last)
    assert (" 67 % " in last) is (width == 80)
    assert all(len(line.rstrip()) <= width for line in last.splitlines())
    assert "2 running, 1 failed, 1 waiting" in last
    assert ("plain8/seed1" in last, "2 of them not shown" in last) == (height == 30, height == 7)


def test_the_closing_table_and_its_exit_code(runs: Path, capfd: pytest.CaptureFixture[str]) -> None:
    some = planned(runs)[:3]
    assert print_outcomes(some, [Outcome("fine")] * 3, seconds=61) == 0
    assert (
        print_outcomes(
            some, [Outcome("fine"), Outcome("locked", 2), Outcome("diverged", 4)], seconds=1
        )
        == 2
    )
    out = capfd.readouterr().out
    assert "3 runs in 1 min 01 s\n" in out
    assert out.count("seed1 ") == 2 and "locked" in out


def test_our_own_bugs_leave_a_traceback_and_a_line(capfd: pytest.CaptureFixture[str]) -> None:
    assert outcome_of(ZeroDivisionError("twice\nin a row")) == Outcome(
        "ended by ZeroDivisionError: twice", 1
    )
    assert "ZeroDivisionError: twice" in capfd.readouterr().err

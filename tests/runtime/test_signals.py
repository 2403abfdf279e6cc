"""Signals before there is anything to save: 128 + signal within seconds, in one line."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from resnet_cli.runtime.signals import StopRequest, handled, held_back, stop_on_signal
from tests.helpers.commands import TINY, Command
from tests.helpers.processes import finish, spawn, wait_for


@pytest.mark.parametrize("module", ["hydra", "torch"])
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_while_imported(tmp_path: Path, runs: Path, module: str, name: str) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {module!r}:\n"
        f"            os.kill(os.getpid(), signal.{name})\n"
        "sys.meta_path.insert(0, Finder())\n"
    )
    path = f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    process = spawn(*TINY, f"runs={runs}", env={"PYTHONPATH": path})
    code, out, err = finish(process)
    assert (code, out) == (128 + signal.Signals[name], "")
    assert err == f"resnet-train: stopped by {name}\n"
    assert not runs.exists()


class Trickle(threading.Thread):
    """A mirror that sends a byte a second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        self.asked = 0
        self.start()

    def run(self) -> None:
        while True:
            connection, _ = self.listening.accept()
            self.asked += 1
            threading.Thread(target=self.answer, args=(connection,), daemon=True).start()

    def answer(self, connection: socket.socket) -> None:
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 170000000\r\n\r\n")
            while True:
                try:
                    connection.sendall(b"x")
                except OSError:
                    return
                time.sleep(1)


def seconds_to_stop(process: subprocess.Popen[str]) -> float:
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143 and "Traceback" not in err
    assert err.splitlines()[-1] == "resnet-train: stopped by SIGTERM"  # after the bar
    return time.monotonic() - began


def test_a_slow_download(tmp_path: Path, runs: Path) -> None:
    mirror, root = Trickle(), tmp_path / "data"
    words = ["dataset.download=true", f"dataset.mirror=http://127.0.0.1:{mirror.port}"]
    process = spawn(*words, f"dataset.root={root}", f"runs={runs}")
    wait_for(lambda: mirror.asked)
    time.sleep(1.5)
    assert seconds_to_stop(process) < 5
    assert [path.name for path in root.iterdir() if not path.name.endswith(".lock")] == []


def test_while_another_downloads(command: Command, tmp_path: Path, runs: Path) -> None:
    with (tmp_path / ".cifar-10-python.tar.gz.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        began = time.monotonic()
        threading.Timer(2, os.kill, (os.getpid(), signal.SIGTERM)).start()
        stopped = command(
            "resnet-train", "dataset.download=true", f"dataset.root={tmp_path}", f"runs={runs}"
        )
    assert (stopped.code, stopped.err) == (143, "resnet-train: stopped by SIGTERM\n")
    assert time.monotonic() - began < 2 + 5


def test_nohup_stays() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert signal.SIGHUP not in handled() and signal.SIGTERM in handled()
        with stop_on_signal() as request:
            signal.raise_signal(signal.SIGHUP)
            assert request.signum is None
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.fixture
def request_() -> Iterator[StopRequest]:
    with stop_on_signal() as request, request.deferred():
        yield request


def test_the_second_ends_at_once(request_: StopRequest) -> None:
    signal.raise_signal(signal.SIGTERM)
    assert request_.signum == signal.SIGTERM
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_the_kernel_may_repeat_itself(request_: StopRequest) -> None:
    for signum in (signal.SIGXCPU, signal.SIGXCPU, signal.SIGHUP):
        signal.raise_signal(signum)
    assert request_.signum == signal.SIGXCPU


def test_held_back_from_programs_that_are_started(request_: StopRequest) -> None:
    script = "import os, signal; os.kill(os.getpid(), signal.SIGINT); print('whole')"
    with held_back():
        os.kill(os.getpid(), signal.SIGINT)
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (0, "whole\n")
    assert request_.signum == signal.SIGINT

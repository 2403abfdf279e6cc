"""Somebody else's checkpoint is measured and does nothing else: no server is asked and no folder
is made that it names.
"""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch

from resnet_cli.analysis.responses import of_run
from resnet_cli.analysis.subject import open_subject
from resnet_cli.runtime.errors import DataError
from tests.faults.kinds import stopped_run
from tests.helpers.commands import Command, check_refused
from tests.helpers.runs import saved_values


@pytest.fixture
def asked() -> Iterator[tuple[str, list[str]]]:
    """The address of a server, and what it was asked for."""
    paths: list[str] = []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # http.server's name
            paths.append(self.path)
            self.send_error(404)

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    server = HTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", paths
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def strangers(
    tmp_path: Path, asked: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A run folder that says: fetch from my server, into this folder, by a thousand processes."""
    monkeypatch.setenv("RESNET_DATA", str(tmp_path / "mine"))
    folder = tmp_path / "theirs"
    (folder / "checkpoints").mkdir(parents=True)
    content = saved_values(stopped_run() / "checkpoints" / "last.pt")
    content["config"]["dataset"] |= {
        "name": "cifar10",
        "root": str(tmp_path / "made"),
        "download": True,
        "mirror": asked[0],
        "workers": 1000,
        "reindex": True,
        "train_images": None,
        "test_images": None,
    }
    torch.save(content, folder / "checkpoints" / "last.pt")
    return folder


def test_a_strangers_checkpoint_asks_no_server_and_makes_no_folder(
    command: Command, strangers: Path, tmp_path: Path, asked: tuple[str, list[str]]
) -> None:
    refused = command("resnet-eval", "--ckpt", strangers)
    check_refused(refused, 3, str(tmp_path / "mine"), f"was trained on '{tmp_path / 'made'}'")
    with pytest.raises(DataError, match=str(tmp_path / "mine")):
        of_run(strangers)
    assert asked[1] == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["theirs"]


def test_the_command_line_may_ask_a_server(
    command: Command,
    strangers: Path,
    tmp_path: Path,
    asked: tuple[str, list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The server is one that counts: what the other test does not see, this one does."""
    monkeypatch.setattr("resnet_cli.data.cifar10.ATTEMPTS", 1)
    words = ["dataset.download=true", f"dataset.mirror={asked[0]}"]
    check_refused(command("resnet-eval", "--ckpt", strangers, *words), 3, "downloading")
    assert asked[1] == ["/cifar-10-python.tar.gz"]


def test_of_a_checkpoints_config_only_what_was_trained_counts(strangers: Path) -> None:
    data = open_subject(strangers, []).config.dataset
    assert (data.download, data.workers, data.reindex) == (False, None, False)
    assert data.mirror.startswith("https://")  # conf/dataset/cifar10.yaml

"""resnet-report as a person calls it: what it writes, and that no input makes it fall over."""

import html
import html.parser
import http.server
import io
import json
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter

from tests.helpers.commands import Command, check_refused
from tests.helpers.processes import PATIENCE
from tests.paper.made_up import make_run


@pytest.fixture
def report(command: Command, tmp_path: Path) -> Path:
    """The report of two made-up runs, one of which has responses."""
    for name in ("plain20", "resnet20-A"):
        commit = "2598a5c6a0edd96b7949a1e00ed5a352ea7ae961"
        folder = make_run(
            tmp_path / "runs", name, errors=(60.0, 9.0), iterations=64_000, commit=commit
        )
        responses = {
            "layers": ["conv1", "layer1.0.conv1"],
            "std": [1.0, 0.5],
            "images": 1000,
            "iteration": 64_000,
        }
        (folder / "responses.json").write_text(json.dumps(responses))
    made = command("resnet-report", tmp_path / "runs", "--out", tmp_path / "out")
    assert made.code == 0, made.err
    return tmp_path / "out"


def test_all_of_it_is_written(report: Path) -> None:
    names = {path.name for path in report.iterdir()}
    # plain beside residual networks is what Figure 6 shows
    pictures = {
        f"{name}.{kind}"
        for name in ("figure1", "figure6", "figure7", "depth")
        for kind in ("png", "svg")
    }
    assert names == {"report.md", "report.html"} | pictures | {
        f"table{n}.{kind}" for n in range(2, 7) for kind in ("md", "csv")
    }
    text = (report / "report.md").read_text()
    assert "`resnet-train model=plain20 seed=0` at 2598a5c6a0" in text
    assert "21.43" in text  # Table 3, of which nothing was run
    order = ["What the runs say", "### Figure 1", "### Figure 6", "### Figure 7", "### Table 6"]
    order += ["### Runs", "## Not run", "### Table 2", "### Table 5"]
    assert sorted(order, key=text.index) == order
    for name in pictures:
        assert name.endswith("svg") or f"({name})" in text
    assert "21.43" in (report / "table3.md").read_text()


class Links(html.parser.HTMLParser):
    """Everything a page would fetch or lead to."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.led_to: list[str] = []
        self.headings: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id":
                self.headings.append(value or "")
            if name in ("src", "href", "srcset", "data"):
                (self.led_to if tag == "a" else self.fetched).append(value or "")


def test_the_page_holds_all_it_shows(report: Path) -> None:
    links, text = Links(), (report / "report.html").read_text()
    links.feed(text)
    assert len(links.fetched) == 5  # an empty icon and four pictures
    assert all(value.startswith("data:") for value in links.fetched)
    # the table of contents leads to headings of the page, and to all of them
    assert links.led_to == [f"#{name}" for name in links.headings if name != "part0"]
    assert "url(" not in text and "<script" not in text
    assert '<abbr title="2598a5c6a0edd96b7949a1e00ed5a352ea7ae961">2598a5c6a0</abbr>' in text


def test_figures_as_pdf_too(command: Command, tmp_path: Path) -> None:
    make_run(tmp_path / "runs", "plain20", iterations=64_000)
    made = command("resnet-report", tmp_path / "runs", "--out", tmp_path / "out", "--format", "pdf")
    assert made.code == 0, made.err
    assert (tmp_path / "out/figure1.pdf").read_bytes()[:5] == b"%PDF-"
    assert (tmp_path / "out/figure1.svg").is_file()  # which the page holds
    wrong = command("resnet-report", tmp_path / "runs", "--format", "bmp")
    assert wrong.code == 2 and "invalid choice: 'bmp'" in wrong.err


def test_a_terminal_shows_a_summary_that_a_person_reads(command: Command, tmp_path: Path) -> None:
    for name, last in (("plain20", 9.8), ("plain56", 13.0)):
        make_run(tmp_path / "runs", name, errors=(60.0, last), iterations=64_000)
    out = command("resnet-report", tmp_path / "runs", "--out", tmp_path / "out").out
    assert "above plain-20's by 1.6 points: degradation, as in the paper" in " ".join(out.split())
    assert any(
        line.split()[:5] == ["plain-56", "64,000", "0", "6.50", "13.00"]
        for line in out.splitlines()
    )
    assert not any(mark in out for mark in ("##", "|", "`", "**"))
    assert str(tmp_path / "out/report.html") in out.replace("\n", "")


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
def test_nothing_is_wider_than_a_phone(report: Path, tmp_path: Path) -> None:
    """In a frame as wide as a phone, measured by a script of the page around it."""
    text = re.sub("<meta http-equiv[^>]*>", "", (report / "report.html").read_text())
    width = "document.title = document.querySelector('iframe').contentDocument.documentElement"
    page = tmp_path / "around.html"
    page.write_text(
        f'<!doctype html><iframe width="360" srcdoc="{html.escape(text)}" '
        f"onload=\"{width}.scrollWidth + ' wide'\"></iframe>"
    )
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    flags += [f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=5000"]
    done = subprocess.run(
        ["chromium", *flags, f"file://{page}"], capture_output=True, text=True, timeout=240
    )
    found = re.search("<title>([0-9]+) wide</title>", done.stdout)
    assert found and 300 < int(found[1]) <= 360, done.stdout[-300:]


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
def test_a_browser_shows_the_page_and_asks_for_nothing_else(report: Path, tmp_path: Path) -> None:
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(report))  # type: ignore[arg-type]

        def log_request(self, *_: object) -> None:
            asked.append(self.path)

    with http.server.ThreadingHTTPServer(("localhost", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = f"http://localhost:{server.server_port}/report.html"
        flags = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--virtual-time-budget=5000",
        ]
        done = subprocess.run(
            ["chromium", *flags, "--dump-dom", page],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        server.shutdown()
    assert "Plain and residual networks, from our runs" in done.stdout, done.stderr
    assert asked == ["/report.html"]


def test_the_figures_stand_on_tensorboard_once(command: Command, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "runs", "plain20", iterations=64_000)
    SummaryWriter(str(folder)).close()
    for _ in range(2):
        assert command("resnet-report", tmp_path / "runs", "--out", tmp_path / "out").code == 0
    board = EventAccumulator(str(tmp_path / "runs/cifar10/report"))
    board.Reload()
    assert board.Tags()["images"] == ["figure1", "figure6"]
    (picture,) = board.Images("figure6")
    # twice a card's 350 pixels, and as high as one panel needs
    assert (picture.width, picture.height) == (700, 560)
    with Image.open(io.BytesIO(picture.encoded_image_string)) as drawn:
        assert drawn.size == (picture.width, picture.height)


def test_running_broken_and_doubled_runs_are_told(command: Command, tmp_path: Path) -> None:
    root = tmp_path / "runs"
    make_run(root, "plain20")
    half = make_run(root, "plain56", done=False)
    with (half / "metrics.jsonl").open("ab") as file:
        file.write(
            b'{"iteration": 250, "train/error": "much"}\n[1]\n\xff\xfe\n'
            b'{"iteration": 300, "train/er'
        )
    bad = make_run(root, "resnet20-A", done=False)
    (bad / "config.yaml").write_text("nonsense")
    worse = make_run(root, "resnet32-A")
    (worse / "result.json").write_text('{"network": ')
    twin = make_run(tmp_path / "runs/again", "plain20", errors=(60.0, 30.0))
    make_run(root, "plain20", dataset="synthetic")
    made = command("resnet-report", root, "--out", tmp_path / "out")
    assert made.code == 0, made.err
    text = (tmp_path / "out/report.md").read_text()
    assert f"`{half / 'metrics.jsonl'}`: 4 line(s) could not be read" in text
    assert f"`{bad}` was passed over" in text
    assert f"`{worse}` was passed over" in text
    assert f"is the same recipe and seed as `{twin}`, and does not count again" in text
    assert "CIFAR-10; synthetic: different data, which no figure" in text
    assert "plain-56 stopped at 200" in text


def test_one_seed_counts_once(command: Command, tmp_path: Path) -> None:
    make_run(tmp_path / "a", "plain20", errors=(60.0, 20.0))
    make_run(tmp_path / "b", "plain20", errors=(60.0, 30.0))
    out = command("resnet-report", tmp_path / "a", tmp_path / "b", "--out", tmp_path / "out").out
    assert "| plain-20 | 200 | 0 | 10.00 | 20.00 |" in (tmp_path / "out/report.md").read_text()
    assert "does not count again" in " ".join(out.split())


def test_a_persons_note_is_repeated(command: Command, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "runs", "plain20")
    (folder / "note.md").write_text("0.9 above the paper: the seed, as two others show.\n")
    command("resnet-report", tmp_path / "runs", "--out", tmp_path / "out")
    assert (
        "- plain20, seed 0: 0.9 above the paper: the seed, as two others show."
        in (tmp_path / "out/report.md").read_text()
    )


def test_an_empty_folder_among_others_is_told(command: Command, tmp_path: Path) -> None:
    make_run(tmp_path / "runs", "plain20")
    (tmp_path / "empty").mkdir()
    made = command(
        "resnet-report", tmp_path / "runs", tmp_path / "empty", "--out", tmp_path / "out"
    )
    assert made.code == 0
    told = f"`{tmp_path / 'empty'}`: no run is below it"
    assert told in (tmp_path / "out/report.md").read_text()


def test_nothing_to_report_is_one_line(command: Command, tmp_path: Path) -> None:
    check_refused(command("resnet-report", tmp_path), 2, "no runs below")
    check_refused(command("resnet-report", tmp_path / "nowhere"), 2, "nowhere")
    (tmp_path / "file.json").write_text("{}")
    check_refused(command("resnet-report", tmp_path / "file.json"), 2, "no top1_error")


@pytest.mark.slow
def test_fifty_whole_runs_take_seconds(command: Command, tmp_path: Path) -> None:
    """The bound is 20 s of this process's own time: other processes do not count."""
    for depth in (20, 32, 44, 56, 110):
        for network in (f"plain{depth}", f"resnet{depth}-A"):
            for seed in range(5):
                make_run(
                    tmp_path / "runs", network, seed=seed, errors=[80 * 0.99**n for n in range(640)]
                )
    began = time.process_time()
    assert command("resnet-report", tmp_path / "runs", "--out", tmp_path / "out").code == 0
    assert time.process_time() - began < 20


@pytest.mark.parametrize("done", [True, False])
def test_a_folder_of_ones_own_is_not_imagenet(command: Command, tmp_path: Path, done: bool) -> None:
    """Twenty classes at the paper's length and size stay out of its figures and tables, running
    or finished.
    """
    for name in ("plain18", "resnet18-A"):
        make_run(
            tmp_path / "runs",
            name,
            dataset="imagenet",
            errors=(50.0, 40.0),
            done=done,
            iterations=600_000,
            data={"classes": [str(n) for n in range(20)]},
            result={"classes": 20},
        )
    measured: dict[str, Any] = {
        "network": "plain18 + resnet18-A",
        "checkpoints": ["a/last.pt", "b/last.pt"],
    }
    measured |= {
        "dataset": "imagenet",
        "classes": 20,
        "split": "val",
        "views": "ten",
        "top1_error": 38.5,
        "top5_error": 9.25,
        "count": 1000,
    }
    (tmp_path / "runs" / "both.json").write_text(json.dumps(measured))
    made = command("resnet-report", tmp_path / "runs", "--out", tmp_path / "out")
    assert made.code == 0, made.err
    text = (tmp_path / "out" / "report.md").read_text()
    assert "## 20 classes of one's own, not ImageNet" in text
    assert "| plain18 + resnet18-A | ten, val, 1,000 images | 38.50 | 9.25 |" in text
    assert not (tmp_path / "out" / "figure4.png").exists()
    assert (tmp_path / "out" / "degradation-imagenet-20.png").exists()
    assert "38.50" not in (tmp_path / "out" / "table5.md").read_text()


def test_a_reader_that_leaves_gets_the_whole_report(tmp_path: Path) -> None:
    """`resnet-report RUNS | head` ends as `resnet-info | head` does: rich alone would exit 1."""
    make_run(tmp_path / "runs", "plain20")
    words = [sys.executable, "-m", "resnet_cli.report", str(tmp_path / "runs"), "--out", "out"]
    with subprocess.Popen(
        words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None and child.stderr is not None
        child.stdout.close()
        assert child.stderr.read() == ""
    assert child.returncode == 128 + signal.SIGPIPE
    assert (tmp_path / "out/report.html").is_file() and (tmp_path / "out/report.md").is_file()

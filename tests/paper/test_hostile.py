"""resnet-report of folders that somebody else wrote: nothing runs, hangs or is lost."""

import functools
import http.server
import json
import os
import shutil
import subprocess
import threading
from pathlib import Path

import pytest
from torch.utils.tensorboard import SummaryWriter

from resnet_cli.paper.draw import draw
from resnet_cli.paper.evaluations import find_evaluations
from resnet_cli.paper.plot import Curve, Panel, Plot
from resnet_cli.paper.prose import plain
from resnet_cli.paper.runs import find
from tests.helpers.commands import Command
from tests.paper.hostile import HOSTILE
from tests.paper.made_up import make_evaluation, make_run

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
SHAPES = {
    "list": "[1, 2]",
    "null": "null",
    "text": '"words"',
    "number": "7",
    "empty": "",
    "half": '{"top1_error": ',
    "deep": "[" * 100_000,
    "deep object": '{"config":' * 100_000,
    "digits": '{"top1_error": ' + "9" * 5000 + ', "config": ' + "9" * 5000 + "}",
    "nulls": '{"top1_error": null, "config": null, "classes": null}',
    "lists": '{"top1_error": [], "config": [], "classes": 5}',
    "infinite": '{"top1_error": Infinity, "checkpoints": [], "config": {}, "classes": {}}',
    "bytes": "\x00\x01\udcff",
}


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A folder with a run for each text that somebody may have written everywhere."""
    root = tmp_path / "runs"
    for number, text in enumerate(HOSTILE):
        name = text.replace("/", "∕").replace("\0", "")[:80]
        folder = make_run(
            root / name, "plain20", seed=number, errors=(60.0, 12.0), commit=text,
            result={
                "command": text, "network": text, "versions": {"resnet_cli": text},
                "precision": text, "best": {"iteration": 200, "chosen_on": text},
            },
        )  # fmt: skip
        (folder / "note.md").write_text(text, errors="surrogateescape")
        make_evaluation(
            folder / "one.json", text, folder, views=text, top1=30.0, dataset="cifar10", split=text,
            bn=text, precision=text, checkpoints=[text], data={}, trained=[{"recipe": None}],
        )  # fmt: skip
    return root


def text_of(out: Path) -> str:
    return (out / "report.md").read_text(encoding="utf-8")


def test_names_that_mean_something_elsewhere(
    command: Command, hostile: Path, tmp_path: Path
) -> None:
    made = command("resnet-report", hostile, "--out", tmp_path / "out")
    assert made.code == 0, made.err
    for text in (made.out, made.err):
        assert not any(ord(one) < 32 and one != "\n" for one in text)
        assert "\u202e" not in text and "\x9b" not in text
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert "<script" not in page and "<img src=x" not in page
    assert 'http-equiv="Content-Security-Policy"' in page and "default-src 'none'" in page
    for scheme in ("javascript", "data:text", "vbscript"):
        assert f'href="{scheme}' not in page.lower()
    assert "\\$x^{2\\$" in text_of(tmp_path / "out")
    with (tmp_path / "out/table6.csv").open() as file:
        assert not any(cell.startswith("=") for line in file for cell in line.split(","))


@pytest.mark.skipif(not CHROMIUM, reason="needs chromium")
def test_nothing_runs_in_a_browser(command: Command, hostile: Path, tmp_path: Path) -> None:
    """A real one: no script changes the title, and nothing is asked of any server."""
    out = tmp_path / "out"
    assert command("resnet-report", hostile, "--out", out).code == 0
    page = (out / "report.html").read_text(encoding="utf-8")
    # that the policy holds where escaping would not
    act = "document.title='ran'"
    hole = f'<script>{act}</script><img src="/asked.png" onerror="{act}">'
    (out / "holed.html").write_text(page.replace("</body>", f"{hole}</body>"), encoding="utf-8")
    unguarded = "<!doctype html><title>x</title><script>document.title='ran'</script>"
    (out / "unguarded.html").write_text(unguarded)
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_request(self, *_: object) -> None:
            asked.append(self.path)

        def log_error(self, *_: object) -> None:
            pass

    serve = functools.partial(Handler, directory=str(out))
    dumped = {}
    with http.server.ThreadingHTTPServer(("localhost", 0), serve) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for name in ("report", "holed", "unguarded"):
            flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--dump-dom"]
            flags += ["--virtual-time-budget=3000", "--disable-background-networking"]
            flags += [f"--user-data-dir={tmp_path / f'profile-{name}'}"]
            address = f"http://localhost:{server.server_port}/{name}.html"
            done = subprocess.run(
                [CHROMIUM, *flags, address],
                capture_output=True, text=True, errors="replace", timeout=240, check=False,
            )  # fmt: skip
            dumped[name] = done.stdout
        server.shutdown()
    assert "<title>ran</title>" in dumped["unguarded"]  # this browser does run scripts
    for name in ("report", "holed"):
        assert "Plain and residual networks" in dumped[name]
        assert "<title>Plain and residual networks, from our runs</title>" in dumped[name]
    # a browser may ask for an icon where a page names none, as the unguarded one
    assert [path for path in asked if path != "/favicon.ico"] == [
        "/report.html",
        "/holed.html",
        "/unguarded.html",
    ]


FILES = ["result.json", "data.json", "config.yaml", "metrics.jsonl", "note.md", "one.json"]


def read(root: Path) -> tuple[set[str], str]:
    """The networks that the report has, and its notes."""
    runs, notes = find([root])
    _, more = find_evaluations([root], runs)
    return {run.network for run in runs}, "\n".join(map(plain, notes + more))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", FILES)
def test_files_of_any_shape_are_passed_over(tmp_path: Path, name: str, shape: str) -> None:
    make_run(tmp_path, "plain20")
    other = make_run(tmp_path, "resnet18-A", dataset="imagenet", done=name == "result.json")
    (other / name).write_text(SHAPES[shape], errors="surrogateescape")
    networks, notes = read(tmp_path)
    assert "plain20" in networks
    if name in ("result.json", "data.json", "config.yaml"):
        assert networks == {"plain20"} and f"{other} was passed over" in notes
    if name == "one.json" and "top1_error" in SHAPES[shape]:
        assert f"{other / name} was passed over" in notes
    if name == "metrics.jsonl" and SHAPES[shape]:
        assert "1 line(s) could not be read" in notes


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", ["pipe", "huge", "folder", "device"])
def test_what_is_no_file_of_ours_is_passed_over(tmp_path: Path, name: str, kind: str) -> None:
    make_run(tmp_path, "plain20")
    other = make_run(tmp_path, "resnet18-A", dataset="imagenet", done=False)
    (other / name).unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(other / name)
    elif kind == "huge":
        with (other / name).open("wb") as file:
            file.truncate(1 << 40)
    elif kind == "folder":
        (other / name).mkdir()
    else:
        (other / name).symlink_to("/dev/zero")
    networks, notes = read(tmp_path)
    assert "plain20" in networks
    assert str(other) in notes and "was passed over" in notes


def test_yaml_cannot_stand_for_gigabytes(tmp_path: Path) -> None:
    bomb = make_run(tmp_path, "plain56", done=False)
    nine = [", ".join([f"*a{n}"] * 9) for n in range(30)]
    lines = ["a0: &a0 {x: 1}", *(f"a{n + 1}: &a{n + 1} [{nine[n]}]" for n in range(29))]
    (bomb / "config.yaml").write_text("\n".join(lines))
    assert "aliases have no place in a config" in read(tmp_path)[1]


@pytest.mark.parametrize("key", ["model.depth", "schedule.iterations", "seed"])
def test_numbers_without_sense_are_passed_over(tmp_path: Path, key: str) -> None:
    folder = make_run(tmp_path, "plain56", done=False)
    tree = branch = json.loads((folder / "config.yaml").read_text())
    *groups, last = key.split(".")
    for group in groups:
        branch = branch[group]
    branch[last] = 6 * 10**4000 + 2
    (folder / "config.yaml").write_text(json.dumps(tree))
    networks, notes = read(tmp_path)
    assert networks == set() and "was passed over" in notes


def test_log_lines_that_are_none_are_counted(command: Command, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "runs", "plain20", done=False)
    lines = ["[" * 100_000, '{"iteration": ' + "9" * 5000 + "}", '{"iteration": 1e999}', "null"]
    lines += ['{"iteration": 300, "test/error": NaN}', '{"iteration": true}', '{"iteration": -1}']
    lines += ['{"iteration": 300, "test/error": 101}']
    with (folder / "metrics.jsonl").open("a") as file:
        file.write("\n".join(lines) + "\n")
    made = command("resnet-report", tmp_path / "runs", "--out", tmp_path / "out")
    assert made.code == 0, made.err
    assert f": {len(lines)} line(s) could not be read" in text_of(tmp_path / "out")


def test_a_folder_that_takes_no_figures_is_told(command: Command, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "runs", "plain20")
    SummaryWriter(str(folder)).close()
    (tmp_path / "runs/cifar10/report").write_text("in the way")
    made = command("resnet-report", tmp_path / "runs", "--out", tmp_path / "out")
    assert made.code == 0, made.err
    assert "No figures for TensorBoard" in text_of(tmp_path / "out")


def test_figures_draw_any_name(tmp_path: Path) -> None:
    curves = [
        Curve(label=text, depth=20, bold=True, x=[1, 2], y=[1.0, 2.0 + n])
        for n, text in enumerate(HOSTILE)
    ]
    panels = [
        Panel(title=HOSTILE[5 * n], curves=tuple(curves[5 * n : 5 * n + 5])) for n in range(5)
    ]
    plot = Plot(
        name="figure", dataset="cifar10", title=HOSTILE[0], caption=(), panels=tuple(panels),
        x_label=HOSTILE[13],
    )  # fmt: skip
    draw(plot, tmp_path)
    assert "<script" not in (tmp_path / "figure.svg").read_text(encoding="utf-8")

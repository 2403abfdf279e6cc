"""What the documentation says is there: links, commands, flags, make targets, files."""

import re
import shlex
from pathlib import Path

import pytest

from resnet_cli.config import compose
from resnet_cli.config.experiments import experiments
from resnet_cli.config.keys import GROUPS
from resnet_cli.config.words import quote_paths
from resnet_cli.runtime.conf import options
from tests.helpers.commands import Command

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
PAGES += sorted((ROOT / "docs").glob("*.md"))
FENCE = re.compile(r"^```.*?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SWEEP = {"-m", "--multirun"}


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return FENCE.sub("", page.read_text())


def commands(page: Path) -> list[list[str]]:
    """The words of each line in fenced blocks, continued lines joined and comments left out."""
    text = "".join(FENCE.findall(page.read_text())).replace("\\\n", " ")
    found = []
    for line in text.splitlines():
        try:
            words = shlex.split(line, comments=True)
        except ValueError:  # no shell: a diagram, an apostrophe
            continue
        if words:
            found.append(words)
    return found


def arguments(words: list[str], program: str, module: str) -> list[str] | None:
    """What a line gives to one of our commands, also through torchrun or srun; None if nothing."""
    if words[0] == program:
        return words[1:]
    return words[words.index(module) + 1 :] if module in words else None


def slugs(page: Path) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


# Under its own text, so that each is tried once.
TRAINED = {
    shlex.join(given): given
    for page in PAGES
    for words in commands(page)
    if (given := arguments(words, "resnet-train", "resnet_cli.train")) is not None
}


def test_the_documentation_is_found() -> None:
    assert {"training", "imagenet", "distributed", "reports"} <= {page.stem for page in PAGES}
    assert len(TRAINED) > 30


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_lines_are_wrapped(page: Path) -> None:
    # but for what a terminal showed
    lines = re.sub(r"```console.*?```", "", page.read_text(), flags=re.DOTALL).splitlines()
    assert [line for line in lines if len(line) > 120 and not line.startswith(("|", "    {"))] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_resolve(page: Path) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if name.startswith(("https://", "http://")):
            continue
        if not target.exists() or (anchor and anchor not in slugs(target)):
            broken.append(link)
    assert broken == []


def first_of(word: str) -> str:
    """`seed=0,1,2` -> `seed=0`: composing takes a third of a second, and the others are alike."""
    key, _, value = word.partition("=")
    if key in GROUPS:
        assert set(value.split(",")) <= set(options(key)), word
    return word if "[" in value else word.split(",")[0]


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folders that commands with a length in epochs count."""
    for name in ("photos/cat", "photos/dog", "five/cat", "five/dog"):
        (tmp_path / name).mkdir(parents=True)
        for number in range(5):
            (tmp_path / name / f"{number}.jpg").touch()
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("given", TRAINED.values(), ids=TRAINED)
@pytest.mark.usefixtures("photos")
def test_training_commands_compose(given: list[str]) -> None:
    words = quote_paths([first_of(word) for word in given if word not in SWEEP])
    if any(f"experiment={name}" in words for name in experiments()):  # that list networks
        words.append("hydra.sweeper.params.model=resnet20")
    planned, _ = compose.jobs(words, multirun=bool(SWEEP & set(given)))
    assert len(planned) == 1


@pytest.mark.parametrize("program", ["resnet-eval", "resnet-report", "resnet-info"])
def test_flags_exist(command: Command, program: str) -> None:
    known = set(re.findall(r"--[a-z-]+", command(program, "--help").out))
    for page in PAGES:
        for words in commands(page):
            if words[0] == program:
                assert {word for word in words if word.startswith("--")} <= known, words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`make ([a-z0-9-]+)", prose(page)))
    named |= {words[1] for words in commands(page) if words[0] == "make" and len(words) > 1}
    assert named <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_files_exist(page: Path) -> None:
    """Code spans such as `models/resnet.py`, from the root, the package or conf/."""
    named = re.findall(r"`([\w./-]+/[\w-]+\.(?:py|yaml|cff|md))`", prose(page))
    named += [
        word for words in commands(page) for word in words if re.match(r"scripts/.*\.py$", word)
    ]
    assert [
        name
        for name in named
        if not any((ROOT / top / name).exists() for top in ("", "resnet_cli"))
    ] == []


def test_every_promise_names_tests_that_there_are() -> None:
    """docs/reliability.md: `file::test`, then perhaps further tests of that file."""
    rows = re.findall(r"^\| (.+) \| (`.+`) \|$", (ROOT / "docs/reliability.md").read_text(), re.M)
    assert len(rows) > 40
    for promise, cell in rows:
        file = ""
        for name in re.findall(r"`([^`]+)`", cell):
            file, test = name.split("::") if "::" in name else (file, name)
            source = (ROOT / file).read_text()
            assert f"\ndef {test}(" in source, f"{promise}: {file} has no {test}"

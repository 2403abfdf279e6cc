"""Text from outside stays text, for an HTML parser and another project's Markdown reader."""

import html.parser

import pytest
from markdown_it import MarkdownIt

from resnet_cli.paper.blocks import Block, Grid, Heading, Items, Text
from resnet_cli.paper.markdown import to_markdown
from resnet_cli.paper.page import to_html
from resnet_cli.paper.prose import Code, Link, Short, clean, note, plain, prose
from tests.paper.hostile import HOSTILE


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_cleaned_prints_on_one_line(text: str) -> None:
    shown = clean(text)
    assert all(one.isprintable() or one.isspace() for one in shown)
    assert "\n" not in shown and "\x1b" not in shown and "\u202e" not in shown
    shown.encode("utf-8")


class Page(html.parser.HTMLParser):
    """The tags of a page, its links and its words."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.targets: list[str] = []
        self.words = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.targets += [value or "" for name, value in attrs if name == "href" and tag == "a"]
        assert not any(name.startswith("on") or name == "style" for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.mark.parametrize("text", HOSTILE)
def test_html_holds_it_as_text(text: str, tmp_path: object) -> None:
    blocks = [
        Heading(text), Text(prose(text, Code(text), Short(text))), Items([note(text)]),
        Grid([text], [[text], [Code(text)]]),
    ]  # fmt: skip
    page = Page()
    page.feed(to_html(blocks, folder=tmp_path))  # type: ignore[arg-type]
    ours = {"html", "head", "meta", "link", "title", "style", "body", "h2", "p", "code", "abbr"}
    ours |= {"ul", "li", "div", "table", "tr", "th", "td", "a"}
    assert page.tags <= ours
    assert all(target.startswith(("http://", "https://", "#part")) for target in page.targets)
    assert page.words.count(clean(text)) >= 4


def rendered(blocks: list[Block]) -> Page:
    """What another project's reader of GitHub's Markdown makes of it."""
    reader = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    page = Page()
    page.feed(reader.render(to_markdown(blocks)))
    return page


@pytest.mark.parametrize("text", HOSTILE)
def test_markdown_holds_it_as_text(text: str) -> None:
    for words in (text, Code(text)):
        page = rendered([Text(words)])
        assert page.tags <= {"p", "code"}
        assert page.words.strip() == clean(text).strip()
        page = rendered([Grid(["a", "b"], [[words, "second"], ["third", words]])])
        assert page.tags <= {"table", "thead", "tbody", "tr", "th", "td", "code"}
        assert [word for word in page.words.split("\n") if word][-2] == "third"
    page = rendered([Items([text, "last"])])
    assert page.tags <= {"ul", "li"}
    assert page.words.split("\n")[-3:] == ["last", "", ""]
    assert rendered([Heading(text)]).tags == {"h2"}


@pytest.mark.parametrize(
    "target",
    ["javascript:alert(1)", "data:text/html,x", "vbscript:x", "//evil", "JaVaScRiPt:x",
     "file:///etc", " https://a", "https://a b", 'https://a"b'],
)  # fmt: skip
def test_links_are_http_or_nothing(target: str) -> None:
    with pytest.raises(ValueError, match="http"):
        Link("text", target)
    assert not any(
        isinstance(span, Link) and span.target == target for span in note(f"[x]({target})")
    )


def test_a_note_may_hold_code_and_links() -> None:
    words = note("See [here](https://a.org/x?y=1),  https://b.org and `x=1`.\nMore.")
    assert words == (
        "See ", Link("here", "https://a.org/x?y=1"), ", ",
        Link("https://b.org", "https://b.org"), " and ", Code("x=1"), ". More.",
    )  # fmt: skip
    assert plain(words) == "See here, https://b.org and x=1. More."


def test_a_commit_is_shown_by_its_beginning() -> None:
    whole = "2598a5c6a0edd96b7949a1e00ed5a352ea7ae961"
    assert Short(whole).text == "2598a5c6a0"
    assert Short(f"{whole}+changes").text == "2598a5c6a0+changes"
    assert Short("version 0.1.0").text == "version 0.1.0"

"""A report as one HTML page: it needs no other file and no network, and runs nothing."""

import base64
import hashlib
import html
from collections.abc import Iterator, Sequence
from pathlib import Path

from resnet_cli.paper.blocks import Block, Folded, Grid, Heading, Items, Picture, Text, Words
from resnet_cli.paper.prose import Code, Link, Short, Span, clean, prose

_STYLE = """
:root { color-scheme: light dark; --ink: #222; --paper: #fff; --line: #ddd; --strong: #767676;
        --code: #f3f3f3; --link: #0550ae; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #ddd; --paper: #161616; --line: #3a3a3a; --strong: #8a8a8a;
          --code: #262626; --link: #8ab4f8; } }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto;
       padding: 0 1rem; color: var(--ink); background: var(--paper); overflow-wrap: anywhere; }
a { color: var(--link); }
img { display: block; max-width: 100%; height: auto; background: #fff; border-radius: .3rem; }
nav ul { columns: 18rem; padding-left: 1.2rem; }
nav .level3 { margin-left: 1.2rem; }
.wide { overflow-x: auto; }
@media (max-width: 40rem) { .wide img { max-width: none; width: 40rem; } }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .7rem; text-align: left;
         vertical-align: top; overflow-wrap: normal; }
th { border-bottom: 2px solid var(--strong); }
code { background: var(--code); padding: .1rem .25rem; overflow-wrap: anywhere; }
abbr { font-family: ui-monospace, monospace; text-decoration: underline dotted; cursor: help; }
li { font-size: .95rem; }
summary { cursor: pointer; margin: 1rem 0; }
"""
_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<link rel="icon" href="data:,">
<title>{title}</title><style>{style}</style></head>
<body>
{body}
</body>
</html>
"""
_FIRST = 2  # a heading of this level ends what stands above the table of contents


def to_html(blocks: Sequence[Block], *, folder: Path) -> str:
    """One page, its contents listed before the second heading of level 2; pictures are read from
    `folder` and put inside as data.
    """
    anchors = _anchors(blocks)
    title = next((block.text for block in blocks if isinstance(block, Heading)), "report")
    tops = [
        number
        for number, block in enumerate(blocks)
        if isinstance(block, Heading) and block.level == _FIRST
    ]
    parts = [_element(block, folder, anchors) for block in blocks]
    if len(tops) > 1:
        parts.insert(tops[1], _contents(blocks, anchors))
    return _PAGE.format(title=_escape(title), policy=_policy(), style=_STYLE, body="\n".join(parts))


def _anchors(blocks: Sequence[Block]) -> dict[int, str]:
    """A name for each heading, by its place in memory: headings may be worded alike."""
    headings = [block for block in _flat(blocks) if isinstance(block, Heading)]
    return {id(block): f"part{number}" for number, block in enumerate(headings)}


def _flat(blocks: Sequence[Block]) -> Iterator[Block]:
    for block in blocks:
        yield block
        if isinstance(block, Folded):
            yield from _flat(block.blocks)


def _contents(blocks: Sequence[Block], anchors: dict[int, str]) -> str:
    """The table of contents."""
    lines = [
        f'<li class="level{block.level}">'
        f'<a href="#{anchors[id(block)]}">{_words(block.text)}</a></li>'
        for block in _flat(blocks)
        if isinstance(block, Heading) and block.level in (2, 3)
    ]
    return "\n".join(['<nav aria-label="contents"><ul>', *lines, "</ul></nav>"])


def _policy() -> str:
    """What the page may do, whatever is in it: show this style and pictures that it holds."""
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )


def _element(block: Block, folder: Path, anchors: dict[int, str]) -> str:
    match block:
        case Heading(text, level):
            return f'<h{level} id="{anchors[id(block)]}">{_words(text)}</h{level}>'
        case Folded(summary, blocks):
            inside = "\n".join(_element(one, folder, anchors) for one in blocks)
            return f"<details><summary>{_words(summary)}</summary>\n{inside}\n</details>"
        case Text(words):
            return f"<p>{_words(words)}</p>"
        case Picture(name, alt):
            data = base64.b64encode((folder / f"{name}.svg").read_bytes()).decode()
            source = f"data:image/svg+xml;base64,{data}"
            return f'<p class="wide"><img alt="{_escape(alt)}" src="{source}"></p>'
        case Grid(header, rows):
            top = "".join(f"<th>{_words(cell)}</th>" for cell in header)
            lines = "\n".join(
                f"<tr>{''.join(f'<td>{_words(cell)}</td>' for cell in row)}</tr>" for row in rows
            )
            return f'<div class="wide"><table>\n<tr>{top}</tr>\n{lines}\n</table></div>'
        case Items(lines):
            return "<ul>\n" + "\n".join(f"<li>{_words(line)}</li>" for line in lines) + "\n</ul>"


def _words(words: Words) -> str:
    return "".join(map(_span, prose(words)))


def _span(span: Span) -> str:
    match span:
        case Code(text):
            return f"<code>{_escape(text)}</code>"
        case Link(text, target):
            return f'<a rel="noreferrer" href="{_escape(target)}">{_escape(text)}</a>'
        case Short():
            return f'<abbr title="{_escape(span.whole)}">{_escape(span.text)}</abbr>'
    return _escape(span)


def _escape(text: str) -> str:
    return html.escape(clean(text))

"""A report as one HTML page: it needs no other file and no network, and runs nothing."""

import base64
import hashlib
import html
from collections.abc import Sequence
from pathlib import Path

from resnet_cli.paper.blocks import Block, Grid, Heading, Items, Picture, Text, Words
from resnet_cli.paper.prose import Code, Link, Short, Span, clean, prose

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto;
       padding: 0 1rem; color: #222; background: #fff; }
img { max-width: 100%; height: auto; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid #ddd; padding: .3rem .7rem;
         text-align: left; vertical-align: top; }
th { border-bottom: 2px solid #888; }
code { background: #f3f3f3; padding: .1rem .25rem; overflow-wrap: anywhere; }
li { font-size: .9rem; }
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


def to_html(blocks: Sequence[Block], *, folder: Path) -> str:
    """One page; pictures are read from `folder` and put inside as data."""
    title = next((block.text for block in blocks if isinstance(block, Heading)), "report")
    body = "\n".join(_element(block, folder) for block in blocks)
    return _PAGE.format(title=_escape(title), policy=_policy(), style=_STYLE, body=body)


def _policy() -> str:
    """What the page may do, whatever is in it: show this style and pictures that it holds."""
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )


def _element(block: Block, folder: Path) -> str:
    match block:
        case Heading(text, level):
            return f"<h{level}>{_words(text)}</h{level}>"
        case Text(words):
            return f"<p>{_words(words)}</p>"
        case Picture(name, alt):
            data = base64.b64encode((folder / f"{name}.svg").read_bytes()).decode()
            return f'<p><img alt="{_escape(alt)}" src="data:image/svg+xml;base64,{data}"></p>'
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

"""A report as blocks, written as Markdown, or as one HTML page that needs no other file and no
network.
"""

import base64
import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

STYLE = """
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
PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,">
<title>{title}</title><style>{style}</style></head>
<body>
{body}
</body>
</html>
"""


@dataclass(frozen=True)
class Heading:
    text: str
    level: int = 2


@dataclass(frozen=True)
class Text:
    """A paragraph; `code` in backticks."""

    text: str


@dataclass(frozen=True)
class Picture:
    """NAME.png and NAME.svg beside the report."""

    name: str
    alt: str


@dataclass(frozen=True)
class Grid:
    """A table."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Items:
    lines: Sequence[str]


Block = Heading | Text | Picture | Grid | Items


def to_markdown(blocks: Sequence[Block]) -> str:
    return "\n\n".join(map(markdown, blocks)) + "\n"


def markdown(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"{'#' * level} {text}"
        case Text(text):
            return text
        case Picture(name, alt):
            return f"![{alt}]({name}.png)"
        case Grid(header, rows):
            lines = [[cell.replace("|", "\\|") for cell in row] for row in [header, *rows]]
            table = [f"| {' | '.join(line)} |" for line in lines]
            return "\n".join([table[0], f"|{'---|' * len(header)}", *table[1:]])
        case Items(lines):
            return "\n".join(f"- {line}" for line in lines)


def to_html(blocks: Sequence[Block], *, folder: Path) -> str:
    """One page; pictures are read from `folder` and put inside as data."""
    title = next((block.text for block in blocks if isinstance(block, Heading)), "report")
    body = "\n".join(element(block, folder) for block in blocks)
    return PAGE.format(title=html.escape(title), style=STYLE, body=body)


def element(block: Block, folder: Path) -> str:
    match block:
        case Heading(text, level):
            return f"<h{level}>{inline(text)}</h{level}>"
        case Text(text):
            return f"<p>{inline(text)}</p>"
        case Picture(name, alt):
            data = base64.b64encode((folder / f"{name}.svg").read_bytes()).decode()
            return f'<p><img alt="{html.escape(alt)}" src="data:image/svg+xml;base64,{data}"></p>'
        case Grid(header, rows):
            top = "".join(f"<th>{inline(cell)}</th>" for cell in header)
            lines = "\n".join(
                f"<tr>{''.join(f'<td>{inline(cell)}</td>' for cell in row)}</tr>" for row in rows
            )
            return f'<div class="wide"><table>\n<tr>{top}</tr>\n{lines}\n</table></div>'
        case Items(lines):
            return "<ul>\n" + "\n".join(f"<li>{inline(line)}</li>" for line in lines) + "\n</ul>"


def inline(text: str) -> str:
    """Escaped; `code` and [links](file) as HTML."""
    code = re.sub(r"`([^`]*)`", r"<code>\1</code>", html.escape(text))
    return re.sub(r"\[([^\]]*)\]\(([^)\s]*)\)", r'<a href="\2">\1</a>', code)

"""A report as Markdown, as GitHub reads it. Text stays text: whatever Markdown or HTML would take
for its own is escaped.
"""

import re
from collections.abc import Sequence

from resnet_cli.paper.blocks import Block, Folded, Grid, Heading, Items, Picture, Text, Words
from resnet_cli.paper.prose import Code, Link, Short, Span, clean, prose

_SPECIAL = re.compile(r"[\\`*\[\]<>|~$&]|(?<![^\W_])_|_(?![^\W_])")  # snake_case is no emphasis
_FIRST = re.compile(r"^(?:[#+=-]|\d+[.)])")  # would begin a heading, a list, a rule


def to_markdown(blocks: Sequence[Block]) -> str:
    return "\n\n".join(map(_block, blocks)) + "\n"


def _block(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"{'#' * level} {_words(text)}"
        case Text(words):
            return _first(_words(words))
        case Picture(name, alt):
            return f"![{_words(alt)}]({name}.png)"
        case Grid(header, rows):
            lines = [f"| {' | '.join(map(_cell, row))} |" for row in [header, *rows]]
            return "\n".join([lines[0], f"|{'---|' * len(header)}", *lines[1:]])
        case Items(lines):
            return "\n".join(f"- {_first(_words(line))}" for line in lines)
        case Folded(_, blocks):
            return "\n\n".join(map(_block, blocks))


def _cell(words: Words) -> str:
    """A bare bar would end the cell, even within code."""
    return re.sub(r"(?<!\\)\|", r"\\|", _words(words))


def _words(words: Words) -> str:
    return "".join(map(_span, prose(words)))


def _span(span: Span) -> str:
    match span:
        case Code(text):
            return _code(clean(text))
        case Link(text, target):
            return f"[{_escape(text)}]({target})"
        case Short():
            return _escape(span.text)
    return _escape(span)


def _escape(text: str) -> str:
    return _SPECIAL.sub(r"\\\g<0>", clean(text))


def _first(line: str) -> str:
    return _FIRST.sub(lambda start: f"{start[0][:-1]}\\{start[0][-1]}", line)


def _code(text: str) -> str:
    """Between more backticks than it holds in a row."""
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    pad = " " if text.startswith("`") or text.endswith("`") or not text.strip() else ""
    return f"{fence}{pad}{text}{pad}{fence}"

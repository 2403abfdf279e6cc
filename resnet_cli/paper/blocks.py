"""What a report is made of, whatever it is written in."""

from collections.abc import Sequence
from dataclasses import dataclass

from resnet_cli.paper.prose import Prose, Span

Words = Span | Prose


@dataclass(frozen=True)
class Heading:
    text: str
    level: int = 2


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    words: Words


@dataclass(frozen=True)
class Picture:
    """NAME.png and NAME.svg beside the report."""

    name: str
    alt: str


@dataclass(frozen=True)
class Grid:
    """A table."""

    header: Sequence[str]
    rows: Sequence[Sequence[Words]]


@dataclass(frozen=True)
class Items:
    """A list."""

    lines: Sequence[Words]


@dataclass(frozen=True)
class Folded:
    """What a reader opens on demand, where the format can."""

    summary: str
    blocks: Sequence["Block"]


Block = Heading | Text | Picture | Grid | Items | Folded

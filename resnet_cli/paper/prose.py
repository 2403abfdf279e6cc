"""Sentences in parts, so that what comes from outside stays text in whatever it is written.

Names of folders, commands, commits and people's notes are never read as Markdown or HTML: each
writer escapes every part as its format wants it.
"""

import re
import unicodedata
from dataclasses import dataclass

# Nothing else is followed by a person who clicks: no javascript:, data: or vbscript:.
_ADDRESS = r"https?://[^\s<>\"'`\\()\[\]]+"
# What a person may use in a note: `code`, [text](https://...), https://...
_NOTE = re.compile(
    rf"`(?P<code>[^`]+)`|\[(?P<text>[^\[\]]*)\]\((?P<target>{_ADDRESS})\)|(?P<bare>{_ADDRESS})",
    re.IGNORECASE,
)
LONGEST = 4000  # characters of one part


@dataclass(frozen=True)
class Code:
    """A command, a path or a setting, as one types it."""

    text: str


@dataclass(frozen=True)
class Link:
    """A page elsewhere. Raises ValueError for what is no http(s) address."""

    text: str
    target: str

    def __post_init__(self) -> None:
        if not re.fullmatch(_ADDRESS, self.target, re.IGNORECASE):
            raise ValueError(f"{self.target}: not an http(s) address")


@dataclass(frozen=True)
class Short:
    """A long name shown by its beginning, the whole where there is room or a pointer."""

    whole: str
    length: int = 10

    @property
    def text(self) -> str:
        head, plus, changes = self.whole.partition("+")
        is_hash = len(head) > self.length and not head.strip("0123456789abcdef")
        return head[: self.length] + plus + changes if is_hash else self.whole


Span = str | Code | Link | Short
Prose = tuple[Span, ...]


def prose(*parts: "Span | Prose") -> Prose:
    """Parts and sentences as one sentence."""
    return tuple(
        span for part in parts for span in (part if isinstance(part, tuple) else (part,)) if span
    )


def listed(parts: "list[Span]", *, separator: str = ", ") -> Prose:
    """`a, b, c`."""
    return prose(*(span for part in parts for span in (separator, part)))[1:]


def sentences(*parts: "Span | Prose") -> Prose:
    """Sentences with spaces between them; empty ones are left out."""
    kept = [prose(part) for part in parts if part]
    return prose(*(span for part in kept for span in (" ", part)))[1:]


def clean(text: str) -> str:
    """One line that any file and terminal can take: control characters, marks that turn the
    direction of writing, and halves of characters become escapes such as `\\x1b`.
    """
    head = text[:LONGEST]
    shown = head if head.isprintable() else _escaped(head)
    return shown if len(text) <= LONGEST else f"{shown}..."


def _escaped(text: str) -> str:
    """Tabs and ends of lines as spaces, everything else that does not print as an escape."""
    return "".join(
        " "
        if one in "\t\n\r"
        else one.encode("unicode_escape").decode("ascii")
        if unicodedata.category(one) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
        else one
        for one in text
    )


def plain(spans: "Span | Prose") -> str:
    """The words alone, as a terminal or a table of values takes them."""
    return "".join(clean(span if isinstance(span, str) else span.text) for span in prose(spans))


def note(text: str) -> Prose:
    """A person's note: code in backticks and links to http(s) are kept, everything else is text."""
    words = " ".join(text.split())
    found: list[Span] = []
    end = 0
    for match in _NOTE.finditer(words):
        found.append(words[end : match.start()])
        if match["code"]:
            found.append(Code(match["code"]))
        else:
            target = match["target"] or match["bare"]
            found.append(Link(match["text"] or target, target))
        end = match.end()
    return prose(*found, words[end:])

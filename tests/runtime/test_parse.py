"""Plain values become typed ones, or are refused by the name of what does not fit."""

import math
import os
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

from resnet_cli.runtime.errors import LONGEST, UserError
from resnet_cli.runtime.parse import MAX_BYTES, UNBOUNDED, parse, parse_json, read_record


class Fruit(StrEnum):
    apple = "apple"
    pear = "pear"


@dataclass(frozen=True, kw_only=True)
class Inner:
    count: int
    best: float = field(default=math.inf, metadata=UNBOUNDED)


@dataclass(frozen=True, kw_only=True)
class Outer:
    inner: Inner
    fruit: Fruit | None = None
    names: list[str] = field(default_factory=list)
    mark: tuple[int, float] = (0, 0.0)
    figures: dict[str, float] = field(default_factory=dict)
    flag: bool = False


def test_what_fits_is_built() -> None:
    plain = {
        "inner": {"count": 3, "best": math.inf},
        "fruit": "pear",
        "names": ["a"],
        "mark": [1, 2],
        "figures": {"x y": 1},
        "flag": True,
    }
    assert parse(Outer, plain) == Outer(
        inner=Inner(count=3),
        fruit=Fruit.pear,
        names=["a"],
        mark=(1, 2.0),
        figures={"x y": 1.0},
        flag=True,
    )
    assert parse(Outer, {"inner": {"count": 0}}) == Outer(inner=Inner(count=0))


REFUSED: dict[str, tuple[Any, str]] = {
    "not a mapping": ([], "it is [], expected named values"),
    "nothing": ({}, "inner is missing"),
    "a deep lack": ({"inner": {}}, "inner.count is missing"),
    "more": ({"inner": {"count": 1}, "ema": 1}, "unknown field ema: from a newer version?"),
    "bool for a count": ({"inner": {"count": True}}, "inner.count is True, expected a count"),
    "float for a count": ({"inner": {"count": 1.0}}, "inner.count is 1.0, expected a count"),
    "count below zero": ({"inner": {"count": -1}}, "inner.count is -1, expected a count"),
    "count beyond": ({"inner": {"count": 2**53 + 1}}, "inner.count is 9007199254740993"),
    "NaN": ({"inner": {"count": 1, "best": math.nan}}, "inner.best is nan, expected a finite"),
    "infinite": ({"inner": {"count": 1}, "figures": {"a": math.inf}}, "figures.a is inf"),
    "a long number": ({"inner": {"count": 1}, "figures": {"a": 10**400}}, "figures.a is 1000"),
    "another word": ({"inner": {"count": 1}, "fruit": "fig"}, "fruit is 'fig', expected apple or"),
    "a list for a word": ({"inner": {"count": 1}, "fruit": []}, "fruit is [], expected apple or"),
    "a number among names": ({"inner": {"count": 1}, "names": ["a", 1]}, "names[1] is 1"),
    "a word for a list": ({"inner": {"count": 1}, "names": "ab"}, "names is 'ab', expected a list"),
    "too few": ({"inner": {"count": 1}, "mark": [1]}, "mark is [1], expected a tuple"),
    "an odd key": ({"inner": {"count": 1}, "figures": {1: 1.0}}, "a key of figures is 1"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_does_not_fit_is_named(kind: str) -> None:
    value, told = REFUSED[kind]
    with pytest.raises(ValueError) as raised:  # noqa: PT011  # what it says is looked at below
        parse(Outer, value)
    assert told in str(raised.value) and len(str(raised.value)) < 200


TEXTS = {
    "cut off": ('{"count": 1', "it is no JSON"),
    "empty": ("", "it is no JSON"),
    "NaN": ('{"count": NaN}', "it holds NaN"),
    "infinite": ('{"count": -Infinity}', "it holds -Infinity"),
    "5,000 digits": ('{"count": ' + "9" * 5000 + "}", "digits"),
    "nested": ("[" * 100_000 + "]" * 100_000, "it is nested too deep"),
}


@pytest.mark.parametrize("kind", TEXTS)
def test_text_that_is_no_plain_json_is_refused(kind: str) -> None:
    text, told = TEXTS[kind]
    with pytest.raises(ValueError, match=told):
        parse_json(text)


def test_a_file_that_cannot_be_a_record_is_refused_unread(tmp_path: Path) -> None:
    """A pipe, which would wait for ever, a folder, a file of gigabytes, bytes that are no text."""
    paths = {name: tmp_path / name for name in ("pipe", "folder", "large", "bytes", "loop", "no")}
    os.mkfifo(paths["pipe"])
    paths["folder"].mkdir()
    with paths["large"].open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    paths["bytes"].write_bytes(b"\xff\xfe{")
    paths["loop"].symlink_to(paths["loop"])
    for path in paths.values():
        with pytest.raises(UserError, match=f"^the note {path}"):
            read_record(Outer, path, what="the note", remedy="delete it")


def test_what_a_file_puts_into_a_message_stays_one_short_line() -> None:
    told = str(UserError("a\nb\x1b[31m\ud800 größe" + "x" * 10**6))
    assert told.startswith("a\\nb\\x1b[31m\\ud800 größe") and len(told) <= LONGEST
    assert told.isprintable()

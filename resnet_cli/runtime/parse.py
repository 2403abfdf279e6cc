"""Files of plain values (JSON, YAML, what a checkpoint holds): read with a limit, and made into
typed values or refused by the name of the field that does not fit.
"""

import dataclasses
import json
import math
import reprlib
from enum import StrEnum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin

from resnet_cli.runtime.errors import UserError
from resnet_cli.runtime.files import read_regular

T = TypeVar("T")

LARGEST = 2**53  # an integer above it is no count of anything, and no float holds it
MAX_BYTES = 64 * 2**20  # of a file of records: a thousand times what the largest of ours takes
UNBOUNDED = {"unbounded": True}  # metadata of a field that may be infinite


def read_text(path: Path, *, what: str) -> str:
    """The text of a small file. Raises UserError, which calls the file `what`."""
    try:
        return read_regular(path, largest=MAX_BYTES).decode()
    except FileNotFoundError as error:
        raise UserError(f"{what} {path}: no such file") from error
    except OSError as error:
        raise UserError(f"{what} {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{what} {path} is no text") from error
    except ValueError as error:
        raise UserError(f"{what} {path} cannot be read: {error}") from error


def read_record(kind: type[T], path: Path, *, what: str, remedy: str) -> T:
    """A JSON file as a `kind`. Raises UserError, which names the field and the `remedy`."""
    text = read_text(path, what=what)
    try:
        return parse(kind, parse_json(text))
    except ValueError as error:
        raise UserError(f"{what} {path} does not fit: {error}; {remedy}") from error


def parse_json(text: str) -> Any:
    """JSON without NaN and infinity. Raises ValueError in one line."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise ValueError(f"it is no JSON ({error})") from error
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"it holds {name}")


def parse(kind: type[T], value: Any, name: str = "") -> T:
    """A plain value as a `kind`: a dataclass of such kinds, an enum, a list, a number...

    Numbers count or measure something, so they are finite and not negative. Raises ValueError that
    names what is missing, does not fit or is not known.
    """
    parsed: T = _parse(kind, value, name, unbounded=False)
    return parsed


def _parse(kind: Any, value: Any, name: str, *, unbounded: bool) -> Any:
    if kind is Any:
        return value
    if dataclasses.is_dataclass(kind):
        return _parse_dataclass(kind, value, name)
    if isinstance(kind, UnionType):
        *kinds, last = sorted(get_args(kind), key=lambda one: one is not NoneType)
        for one in kinds:
            try:
                return _parse(one, value, name, unbounded=unbounded)
            except ValueError:
                continue
        return _parse(last, value, name, unbounded=unbounded)
    if (outer := get_origin(kind)) is not None:
        return _parse_container(outer, get_args(kind), value, name)
    if kind is float and type(value) is int and abs(value) <= LARGEST:
        value = float(value)
    if _fits(kind, value, unbounded=unbounded):
        return kind(value) if issubclass(kind, StrEnum) else value
    raise ValueError(f"{name or 'it'} is {reprlib.repr(value)}, expected {_in_words(kind)}")


def _fits(kind: Any, value: Any, *, unbounded: bool) -> bool:
    if kind is NoneType:
        return value is None
    if issubclass(kind, StrEnum):
        return isinstance(value, str) and value in set(kind)
    if kind is int:
        return type(value) is int and 0 <= value <= LARGEST
    if kind is float:
        return type(value) is float and value >= 0 and (unbounded or value < math.inf)
    return isinstance(value, kind)


def _parse_dataclass(kind: Any, value: Any, name: str) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"{name or 'it'} is {reprlib.repr(value)}, expected named values")
    prefix = f"{name}." if name else ""
    fields = {one.name: one for one in dataclasses.fields(kind)}
    if unknown := [key for key in value if key not in fields]:
        raise ValueError(f"unknown field {prefix}{_shown(unknown[0])}: from a newer version?")
    for one in fields.values():
        optional = (one.default, one.default_factory) != (dataclasses.MISSING,) * 2
        if one.name not in value and not optional:
            raise ValueError(f"{prefix}{one.name} is missing")
    return kind(
        **{
            key: _parse(
                fields[key].type,
                part,
                f"{prefix}{key}",
                unbounded="unbounded" in fields[key].metadata,
            )
            for key, part in value.items()
        }
    )


def _parse_container(outer: Any, kinds: tuple[Any, ...], value: Any, name: str) -> Any:
    if outer is dict and isinstance(value, dict):
        return {
            _parse(kinds[0], key, f"a key of {name}", unbounded=False): _parse(
                kinds[1], part, f"{name}.{_shown(key)}", unbounded=False
            )
            for key, part in value.items()
        }
    if outer in (list, tuple) and isinstance(value, list | tuple):
        if outer is list or kinds[-1] is ...:
            kinds = (kinds[0],) * len(value)
        if len(kinds) == len(value):
            return outer(
                _parse(kind, part, f"{name}[{number}]", unbounded=False)
                for number, (kind, part) in enumerate(zip(kinds, value, strict=True))
            )
    raise ValueError(f"{name or 'it'} is {reprlib.repr(value)}, expected a {outer.__name__}")


def _shown(key: object) -> str:
    """A key for a message: as it is where it is a word, else as Python writes it, shortened."""
    return key if isinstance(key, str) and key.isidentifier() else reprlib.repr(key)


def _in_words(kind: Any) -> str:
    words: dict[Any, str] = {
        int: "a count",
        float: "a finite number that is not negative",
        str: "text",
        bool: "true or false",
    }
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return " or ".join(kind)
    return words.get(kind, kind.__name__)

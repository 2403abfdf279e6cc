"""A plain config from a file: whole, or refused by the name of its key."""

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from resnet_cli.config.plain import from_plain, to_plain
from tests.faults.kinds import stopped_run


def recorded() -> dict[str, Any]:
    return dict(yaml.safe_load((stopped_run() / "config.yaml").read_text()))


def test_a_round_trip_is_equal() -> None:
    config = from_plain(recorded())
    assert from_plain(to_plain(config)) == config


BROKEN: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "a group left out": (lambda tree: tree.pop("optimizer"), "optimizer.lr is missing"),
    "a key left out": (lambda tree: tree["optimizer"].pop("lr"), "optimizer.lr is missing"),
    "a list for a word": (lambda tree: tree.update(shortcut=[]), "shortcut=[] does not fit"),
    "another word": (lambda tree: tree.update(shortcut="D"), "shortcut='D' does not fit"),
    "a number that no float holds": (
        lambda tree: tree["optimizer"].update(lr=10**400),
        "optimizer.lr=1000",
    ),
    "a number beyond 64 bits": (lambda tree: tree.update(batch_size=2**64), "batch_size=1844"),
    "null": (lambda tree: tree.update(seed=None), "seed=None does not fit"),
    "a group of text": (lambda tree: tree.update(model="x"), "model='x' does not fit"),
    "a key more": (lambda tree: tree["model"].update(ema=1), "unknown key model.ema"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_does_not_fit_is_named(kind: str) -> None:
    change, told = BROKEN[kind]
    tree = recorded()
    change(tree)
    with pytest.raises(ValueError) as raised:  # noqa: PT011  # what it says is looked at below
        from_plain(tree)
    assert told in str(raised.value)

"""The check that a change keeps the numbers: it sees one bit, and names the run and the tensor."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from scripts import same_bits

SCRIPTS = Path(same_bits.__file__).parent


def test_a_digest_is_of_values_not_of_where_they_lie() -> None:
    images = torch.randn(2, 3, 4, 4)
    elsewhere = images.to(memory_format=torch.channels_last)
    assert same_bits.digest(images) == same_bits.digest(elsewhere)
    assert same_bits.digest(images) != same_bits.digest(images.flatten())
    assert same_bits.digest(torch.zeros(2)) != same_bits.digest(torch.zeros(2, dtype=torch.int32))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_a_digest_sees_the_last_bit(dtype: torch.dtype) -> None:
    one = torch.ones(5, dtype=dtype)
    next_one = torch.nextafter(one, 2 * one)
    assert same_bits.digest(one) != same_bits.digest(next_one)
    zero = torch.zeros(5, dtype=dtype)
    assert same_bits.digest(zero) != same_bits.digest(-zero)


def test_what_differs_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    before: dict[str, dict[str, Any]] = {
        "drawn": {"last.pt network fc.bias": "aa", "best.pt": "bb"},
        "stopped": {"best.pt": 1},
    }
    changed = before | {"drawn": {"last.pt network fc.bias": "ac", "best.pt": "bb"}}
    assert same_bits.compare(before, before) == 0
    assert "2 runs, 3 figures and digests: the same bits" in capsys.readouterr().out
    assert same_bits.compare(before, changed) == 1
    told = capsys.readouterr().out
    assert "drawn: 1 of 2 differ\n  last.pt network fc.bias: aa -> ac\n" in told
    assert "stopped" not in told
    assert same_bits.compare(before, {"drawn": before["drawn"]}) == 1
    assert "stopped: 1 of 1 differ\n  best.pt: 1 -> missing" in capsys.readouterr().out


@pytest.mark.slow
def test_the_same_code_gives_the_same_bits_and_a_touched_record_does_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Through the script's door."""

    def call(*words: str) -> int:
        monkeypatch.setattr(sys, "argv", ["same_bits.py", *words, "--only", "warm-up"])
        return same_bits.main()

    file = tmp_path / "before.json"
    assert call("record", str(file)) == 0
    assert call("compare", str(file)) == 0
    before = json.loads(file.read_text())
    before["runs"]["warm-up"]["last.pt momentum 0 momentum_buffer"] = "other"
    file.write_text(json.dumps(before))
    capsys.readouterr()
    assert call("compare", str(file)) == 1
    assert "  last.pt momentum 0 momentum_buffer: other -> " in capsys.readouterr().out
    before["machine"]["torch"] = "2.0"
    file.write_text(json.dumps(before))
    assert call("compare", str(file)) == 2
    assert "cannot be compared here: torch: 2.0 -> " in capsys.readouterr().err

"""resnet-info against Table 1, Table 3 and Table 6."""

import json

import pytest

from tests.helpers.commands import Command

# Table 1's FLOPs (multiply-adds) in 1e9, with the paper's stride.
TABLE_1 = {"resnet18": 1.8, "resnet34": 3.6, "resnet50": 3.8, "resnet101": 7.6, "resnet152": 11.3}


def test_every_network_of_the_paper_is_there(command: Command) -> None:
    rows = {row["name"]: row for row in json.loads(command("resnet-info", "--json").out)}
    assert rows["resnet110"] | {"multiply_adds": 0} == {
        "name": "resnet110", "layers": 110, "shortcut": "A", "dataset": "cifar10", "input": 32,
        "stride_in": None, "parameters": 1_727_962, "multiply_adds": 0,
        "paper_top1_error": 6.43, "paper_top5_error": None,
    }  # fmt: skip
    for name, published in TABLE_1.items():
        # 3.86 is the 3.8 of ResNet-50
        assert rows[name]["multiply_adds"] / 1e9 == pytest.approx(published, abs=0.07), name
        assert rows[name]["layers"] == int(name.removeprefix("resnet"))
    assert rows["plain34"]["multiply_adds"] == rows["resnet34"]["multiply_adds"]
    assert rows["resnet152"]["paper_top5_error"] == 5.71


def test_torchvisions_stride_costs_more(command: Command) -> None:
    (row,) = json.loads(command("resnet-info", "--json", "resnet50", "--stride-in", "3x3").out)
    assert round(row["multiply_adds"] / 1e9, 1) == 4.1 and row["stride_in"] == "3x3"


def test_the_papers_errors_are_the_papers_networks_alone(command: Command) -> None:
    """Its bottlenecks have the stride in the 1x1; ResNet-34 has none to move."""
    moved = json.loads(
        command("resnet-info", "--json", "resnet50", "resnet34", "--stride-in", "3x3").out
    )
    assert [row["paper_top1_error"] for row in moved] == [None, 25.03]
    (own,) = json.loads(command("resnet-info", "--json", "resnet50", "--stride-in", "1x1").out)
    assert own["paper_top1_error"] == 22.85


def test_multiply_adds_of_resnet20_by_hand(command: Command) -> None:
    (row,) = json.loads(command("resnet-info", "--json", "resnet20").out)
    stem = 32 * 32 * 9 * 3 * 16
    # side, inputs, width, width of the other five
    stages = [(32, 16, 16, 16), (16, 16, 32, 32), (8, 32, 64, 64)]
    convolutions = sum(
        side * side * 9 * (inputs * width + 5 * width * other)
        for side, inputs, width, other in stages
    )
    assert row["multiply_adds"] == stem + convolutions + 64 * 10


def test_the_table_is_for_people(command: Command) -> None:
    shown = command("resnet-info", "resnet56", "plain20")
    assert shown.code == 0
    assert "853,018" in shown.out
    assert "6.97 %" in shown.out


def test_an_unknown_network_is_one_line(command: Command) -> None:
    wrong = command("resnet-info", "resnet65")
    assert (wrong.code, wrong.out) == (2, "")
    assert (
        wrong.err
        == "resnet-info: unknown network 'resnet65': did you mean 'resnet56' or 'resnet50'?\n"
    )
    assert "did you mean 'plain20' or 'plain18'?" in command("resnet-info", "plain21").err
    assert "'wide_resnet50_2'" in command("resnet-info", "wide_resnet50").err

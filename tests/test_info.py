"""resnet-info against Table 1, Table 3 and Table 6."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

from tests.helpers.commands import Command, check_refused

# Table 1's FLOPs (multiply-adds) in 1e9, with the paper's stride.
TABLE_1 = {"resnet18": 1.8, "resnet34": 3.6, "resnet50": 3.8, "resnet101": 7.6, "resnet152": 11.3}


def test_every_network_of_the_paper_is_there(command: Command) -> None:
    rows = {row["name"]: row for row in json.loads(command("resnet-info", "--json").out)}
    assert rows["resnet110"] | {"multiply_adds": 0} == {
        "name": "resnet110", "layers": 110, "shortcut": "A", "dataset": "cifar10", "input": 32,
        "stride_in": None, "parameters": 1_727_962, "multiply_adds": 0,
        "paper_top1_error": 6.43, "paper_top5_error": None,
        "later_test_error": 6.61, "deviation": None,  # the mean of five runs
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


def test_another_shortcut_changes_counts_and_the_papers_errors(command: Command) -> None:
    """Table 3 has ResNet-34 with all three; torchvision's has B."""
    words = ["resnet-info", "--json", "resnet34", "--shortcut"]
    rows = {one: json.loads(command(*words, one).out)[0] for one in "ABC"}
    assert [row["paper_top1_error"] for row in rows.values()] == [25.03, 24.52, 24.19]
    assert rows["B"]["parameters"] == 21_797_672
    check_refused(command("resnet-info", "plain34", "--shortcut", "B"), 2, "plain34 is plain")
    every = json.loads(command("resnet-info", "--json", "--shortcut", "C").out)
    assert {row["shortcut"] for row in every} == {"none", "C"}


@pytest.mark.parametrize("name", ["resnet18", "plain34", "resnet34"])
def test_every_3x3_of_a_stage_costs_the_same(command: Command, name: str) -> None:
    """56 * 56 * 9 * 64 * 64: the widths double where the maps halve (section 3.3)."""
    found = json.loads(command("resnet-info", name, "--layers", "--json").out)[name]
    alike = [
        row for row in found if row["layer"].startswith("3x3") and "stride" not in row["layer"]
    ]
    assert [row["output"] for row in alike] == [56, 28, 14, 7]
    assert {row["multiply_adds_each"] for row in alike} == {115_605_504}


@pytest.mark.parametrize("name", ["resnet20", "resnet50", "resnext50_32x4d"])
def test_the_rows_of_table_1_add_up(command: Command, name: str) -> None:
    (whole,) = json.loads(command("resnet-info", name, "--json").out)
    found = json.loads(command("resnet-info", name, "--layers", "--json").out)[name]
    for key in ("parameters", "multiply_adds"):
        assert sum(row[key] for row in found) == whole[key]
    stem = found[0]  # in float32, before BN
    assert stem["activation_bytes"] == 4 * (16 * 32**2 if name == "resnet20" else 64 * 112**2)
    shown = command("resnet-info", name, "--layers").out
    assert f"{whole['parameters']:,}" in shown and f"{whole['multiply_adds']:,}" in shown


def test_the_arithmetic_of_a_bottleneck(command: Command) -> None:
    shown = command("resnet-info", "--block").out
    single = next(line for line in shown.splitlines() if "a single 3x3" in line)
    bottleneck = next(line for line in shown.splitlines() if line.startswith("bottleneck"))
    assert (256 * 256 * 9, 256 * 64 + 64 * 64 * 9 + 64 * 256) == (589_824, 69_632)
    assert "589,824" in single and "69,632" in bottleneck


SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize(
    ("name", "layers", "shortcuts"),
    [
        ("resnet34", 34, {"identity": 13, "dashed": 3}),
        ("plain20", 20, {"identity": 7, "dashed": 2}),
    ],
)
def test_a_drawing_has_every_layer_and_shortcut(
    command: Command, tmp_path: Path, name: str, layers: int, shortcuts: dict[str, int]
) -> None:
    """Fig. 3: dotted shortcuts increase dimensions, and VGG-19 stands beside those for photographs.
    The image and the pools are boxes too.
    """
    assert command("resnet-info", name, "--draw", tmp_path / "x.svg").code == 0
    root = ElementTree.parse(tmp_path / "x.svg").getroot()
    texts = [text.text or "" for text in root.iter(f"{SVG}text")]
    weighted = [text for text in texts if " conv, " in text or text.startswith("fc, ")]
    with_vgg = "VGG-19" in texts
    assert with_vgg == (name == "resnet34")
    assert len(weighted) == 2 * layers + 19 * with_vgg  # plain beside residual
    assert [text for text in texts if "19,632M" in text] == (  # 19.6e9
        ["143.67M parameters, 19,632M multiply-adds"] if with_vgg else []
    )
    curves = [path for path in root.iter(f"{SVG}path") if path.get("marker-end")]
    dashed = [path for path in curves if path.get("stroke-dasharray")]
    assert {"identity": len(curves) - len(dashed), "dashed": len(dashed)} == shortcuts


def test_a_deep_network_is_drawn_in_short(command: Command, tmp_path: Path) -> None:
    command("resnet-info", "resnet110", "--draw", tmp_path / "x.svg")
    assert (tmp_path / "x.svg").read_text().count("16 more of these blocks") == 2 * 3


def test_errors_are_plotted_against_costs(command: Command, tmp_path: Path) -> None:
    assert command("resnet-info", "--plot", tmp_path / "x.svg").code == 0
    assert command("resnet-info", "--plot", tmp_path / "x.png").code == 0
    assert min(Image.open(tmp_path / "x.png").size) > 500
    ElementTree.parse(tmp_path / "x.svg")


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--plot", "x.txt"], "ending in .png, .svg, .pdf"),
        (["--plot", "missing/x.png"], "a folder that exists"),
        (["resnet20", "--plot", "x.png"], "leave resnet20 out"),
        (["--draw", "x.png"], "ending in .svg"),
        (["resnet20", "resnet32", "--draw", "x.svg"], "one network at a time"),
        (["--draw", "x.svg", "--json"], "--json does not go with --draw"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(command: Command, words: list[str], part: str) -> None:
    check_refused(command("resnet-info", *words), 2, part)

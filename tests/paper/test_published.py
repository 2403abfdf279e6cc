"""The published numbers against each other and against what other rooms know."""

from resnet_cli.models.zoo import NETWORKS
from resnet_cli.paper.frames import frames
from resnet_cli.paper.history import LATER
from resnet_cli.paper.published import (
    CIFAR10_TEST_ERROR,
    ENSEMBLE,
    IDENTITY_MAPPINGS,
    LATER_CIFAR10_TEST_ERROR,
    TABLE_2,
    TABLE_3,
    TABLE_5,
    TABLE_6,
    TABLES,
    WIDE,
)
from resnet_cli.paper.runs import spoken


def test_the_papers_table_6_is_typed_right() -> None:
    assert list(CIFAR10_TEST_ERROR.values()) == [8.75, 7.51, 7.17, 6.97, 6.43, 7.93]
    hundred_and_ten = next(line for line in TABLE_6.lines if line.network == "resnet110-A")
    assert (hundred_and_ten.mean, hundred_and_ten.std) == (6.61, 0.16)


def test_what_two_tables_say_of_one_network_agrees() -> None:
    ten_crop = {line.network: line.errors[0] for line in TABLE_3.lines}
    assert {
        line.errors[0] for line in TABLE_2.lines if line.network in ("plain34", "resnet34-A")
    } == {28.54, 25.03}
    assert all(
        ten_crop[line.network] == line.errors[0]
        for line in TABLE_2.lines
        if line.network in ten_crop
    )
    assert min(line.errors[0] or 100 for line in TABLE_5.lines) == 3.57


def test_every_line_has_its_columns_and_a_network_of_ours() -> None:
    ours = {net.name for net in NETWORKS.values()} | {"resnet34-B", "resnet34-C", ENSEMBLE}
    for table in TABLES:
        assert all(len(line.errors) == len(table.columns) for line in table.lines)
        assert {line.network for line in table.lines if line.network} <= ours
    assert {name for frame in frames() for name in frame.networks} <= ours


def test_what_later_papers_measured_is_of_networks_of_ours() -> None:
    """Pre-activation is better at every depth, and ResNet-110 with projections everywhere worse."""
    ours = {net.name for net in NETWORKS.values()} | {"resnet110-C"}
    assert LATER_CIFAR10_TEST_ERROR.keys() <= ours
    original, pre = (
        [error for name, error in IDENTITY_MAPPINGS.items() if name.startswith(kind)][:3]
        for kind in ("resnet", "preact")
    )
    assert (original, pre) == ([6.61, 5.93, 7.61], [6.37, 5.46, 4.92])
    a = next(line.mean for line in TABLE_6.lines if line.network == "resnet110-A")
    assert (a, IDENTITY_MAPPINGS["resnet110-C"]) == (6.61, 12.22)
    assert [*WIDE.values()] == [4.27, 4.00, 4.53]


def test_resnext_goes_further_with_groups_than_with_depth_or_width() -> None:
    """Its text: 2x64d takes 1.3 points off ResNet-101's top-1 error, width 0.7, depth 0.3."""
    (twice,) = (table for table in LATER if "Table 4" in table.source)
    error = {line.name: line.error for line in twice.lines}
    ours = {net.name for net in NETWORKS.values()}
    base = error["ResNet-101 (1 x 64d)"]
    more = ("ResNeXt-101 (2 x 64d)", "ResNet-101, wider (1 x 100d)", "ResNet-200 (1 x 64d)")
    assert [round(base - error[name], 1) for name in more] == [1.3, 0.7, 0.3]
    assert all(line.ours is None or line.ours in ours for line in twice.lines)


def test_networks_are_called_as_their_papers_call_them() -> None:
    names = ["plain56", "resnet56-A", "resnet34-B", "resnet50-32x4d-B", "preact110-A", "wrn28-10-B"]
    assert [spoken(name) for name in names] == [
        "plain-56",
        "ResNet-56",
        "ResNet-34 B",
        "ResNet-50 32x4d B",
        "pre-activation ResNet-110",
        "WRN-28-10",
    ]

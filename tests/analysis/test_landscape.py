"""The landscape against a network moved by hand, and a measurement that is stopped."""

from pathlib import Path

import pytest
import torch
from torch.nn.functional import cross_entropy

from resnet_cli.analysis.landscape import Plane, direction, grid
from resnet_cli.data.images import Normalizer, Split
from resnet_cli.models.architecture import Shortcut, cifar
from resnet_cli.models.resnet import ResNet
from resnet_cli.paper.why.records import Point, from_csv
from tests.helpers.commands import TINY, Command, check_refused, last_line
from tests.helpers.networks import stir


def test_filters_of_a_direction_are_as_long_as_the_networks() -> None:
    network = stir(ResNet(cifar(8, shortcut=Shortcut.B)))
    found = direction(network, torch.Generator().manual_seed(0))
    for weight, drawn in zip(network.parameters(), found, strict=True):
        if weight.dim() == 1:  # Li et al. leave biases and BN alone
            assert not drawn.any()
            continue
        for filter_, moved in zip(weight, drawn, strict=True):
            assert moved.norm().item() == pytest.approx(filter_.norm().item(), rel=1e-5)
            cosine = (moved * filter_).sum() / (moved.norm() * filter_.norm())
            assert abs(cosine) < 0.9


@pytest.mark.numerical
@torch.no_grad()
def test_a_point_is_the_loss_of_the_moved_network() -> None:
    network = stir(ResNet(cifar(8, shortcut=Shortcut.A))).double()
    split = Split(torch.randint(256, (5, 3, 16, 16), dtype=torch.uint8), torch.arange(5))
    pixels = Normalizer(torch.zeros(3, 1, 1), torch.ones(3, 1, 1))
    start = [weight.clone() for weight in network.parameters()]
    generator = torch.Generator().manual_seed(3)
    one, other = direction(network, generator), direction(network, generator)
    plane = Plane(network, seed=3)
    plane.move(0.5, -0.25)
    found, error = plane.measure(
        split, lambda images: pixels(images).double(), dtype=torch.float32, batch_size=2
    )
    for weight, w, d, e in zip(network.parameters(), start, one, other, strict=True):
        weight.copy_(w + 0.5 * d - 0.25 * e)
    logits = network(pixels(split.images).double())
    # the command reduces logits to float32
    assert found == pytest.approx(cross_entropy(logits, split.labels).item(), rel=1e-5)
    assert error == 100 * (logits.argmax(1) != split.labels).double().mean()


def test_grids_nest() -> None:
    coarse, fine = grid(3, 1.0), grid(5, 1.0)
    assert coarse[0] == (0.0, 0.0) and len(coarse) == 9
    assert set(coarse) < set(fine) and len(set(fine)) == 25
    assert {max(map(abs, place)) for place in fine} == {0.0, 0.5, 1.0}


def test_the_command_goes_on_where_it_was_stopped(
    command: Command, runs: Path, tmp_path: Path
) -> None:
    assert command("resnet-train", *TINY, f"runs={runs}").code == 0
    (folder,) = (path.parent for path in runs.rglob("result.json"))

    def measured(out: Path, *more: object) -> list[Point]:
        done = command(
            "resnet-analyze", "landscape", "--ckpt", folder, "device=cpu", "--out", out, *more
        )
        assert done.code == 0, done.err
        return from_csv(Point, out / "landscape.csv")

    whole = measured(tmp_path / "whole", "--grid", 3, "--images", 150)
    error = last_line(command("resnet-eval", "--ckpt", folder, "device=cpu"))["top1_error"]
    assert (whole[0].a, whole[0].b, whole[0].error) == (0, 0, error)
    assert len(whole) == 9
    assert (tmp_path / "whole/landscape.svg").read_text().startswith("<?xml")

    cut = tmp_path / "cut"
    cut.mkdir()
    lines = (tmp_path / "whole/landscape.csv").read_text().splitlines(keepends=True)
    marked = lines[2].replace(lines[2].split(",")[-1], "12.5\n")  # it is not measured again
    (cut / "landscape.csv").write_text("".join([*lines[:2], marked, *lines[3:5], lines[5][:30]]))
    again = measured(cut, "--grid", 3, "--images", 150)
    assert again[1].error == 12.5
    assert [again[0], *again[2:]] == [whole[0], *whole[2:]]

    words = ["landscape", "--ckpt", folder, "device=cpu", "--out", cut]
    other = command("resnet-analyze", *words, "--grid", 3, "--images", 100)
    check_refused(other, 2, "holds resnet8-A with images 150, not 100")
    long = ["--grid", 401, "--images", 150, "--hours", 1e-6]
    check_refused(command("resnet-analyze", *words, *long), 2, "points would take", "--hours")
    check_refused(command("resnet-analyze", *words, "--grid", 10**6), 2, "--grid 1000000", "GiB")
    check_refused(command("resnet-analyze", *words, "--grid", 1), 2, "--grid 1")
    (cut / "landscape.csv").write_text("a,b\n1,2\n")
    check_refused(command("resnet-analyze", *words, "--images", 150), 2, "columns")

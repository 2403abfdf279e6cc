"""What the figures hold, against the logs; and that their captions say what was shortened,
running or not run.
"""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from resnet_cli.paper import figure7
from resnet_cli.paper.draw import draw, luminance, outlined, readable
from resnet_cli.paper.figures import degradation, papers_figure, whole_schedule
from resnet_cli.paper.frames import Frame, frames
from resnet_cli.paper.plot import Plot
from resnet_cli.paper.prose import plain
from resnet_cli.paper.runs import find, spoken
from tests.paper.made_up import make_run

FIGURE = {frame.name: frame for frame in frames()}


def plot(frame: Frame, root: Path) -> Plot:
    made = papers_figure(frame, find([root])[0])
    assert made is not None
    return made


def contents(made: Plot) -> dict[tuple[str, str, bool], list[tuple[int, float]]]:
    """(panel, label, bold) -> its points."""
    return {
        (panel.title, curve.label, curve.bold): list(zip(curve.x, curve.y, strict=True))
        for panel in made.panels
        for curve in panel.curves
    }


def test_figure_6_draws_the_logs_in_the_papers_frame(tmp_path: Path) -> None:
    make_run(tmp_path, "plain56", errors=(70.0, 40.0, 13.0), iterations=64_000)
    make_run(tmp_path, "resnet56-A", errors=(60.0, 20.0, 7.0), iterations=64_000)
    make_run(tmp_path, "resnet110-A", errors=(60.0, 6.5), iterations=64_000, done=False)
    made = plot(FIGURE["figure6"], tmp_path)
    held = contents(made)
    assert held["plain", "56-layer", True] == [(100, 70.0), (200, 40.0), (300, 13.0)]
    assert held["plain", "56-layer", False] == [(100, 35.0), (200, 20.0), (300, 6.5)]
    assert {(panel, name) for panel, name, _ in held} == {
        ("plain", "56-layer"),
        ("residual", "56-layer"),
        ("residual", "110-layer"),
        ("residual, 110 and 1202 layers", "110-layer"),
    }
    marks = [[(mark.depth, mark.y, mark.read_off) for mark in panel.marks] for panel in made.panels]
    hundred_and_ten = (110, 6.43, False)
    assert marks == [[(56, 13.5, True)], [(56, 6.97, False), hundred_and_ten], [hundred_and_ten]]
    assert (made.y_limits, made.unit, made.x_end, made.x_label) == (
        (0, 20),
        1000,
        64_000,
        "iterations (thousands)",
    )
    assert "Not finished: ResNet-110 stopped at 200." in plain(made.caption)
    assert (
        "Not run: plain-20, plain-32, plain-44, plain-110, ResNet-20, ResNet-32, ResNet-44, "
        "ResNet-1202." in plain(made.caption)
    )
    assert "resnet-train experiment=figure6," in plain(made.caption)


def test_figure_1_has_training_error_left_and_test_error_right(tmp_path: Path) -> None:
    for name, last in (("plain20", 9.0), ("plain56", 14.0)):
        make_run(tmp_path, name, errors=(60.0, last), iterations=64_000)
    sides = {("training error", False), ("test error", True)}
    assert set(contents(plot(FIGURE["figure1"], tmp_path))) == {
        (title, name, bold) for name in ("20-layer", "56-layer") for title, bold in sides
    }


def test_figure_4_draws_validation_error(tmp_path: Path) -> None:
    for name, last in (("plain34", 29.0), ("resnet34-A", 26.0)):
        make_run(tmp_path, name, dataset="imagenet", errors=(60.0, last), iterations=600_000)
    made = plot(FIGURE["figure4"], tmp_path)
    assert contents(made)["residual", "34-layer", True] == [(100, 60.0), (200, 26.0)]
    assert made.styles == ("training error", "validation error")
    assert list(made.y_limits) == [20, 60]
    assert "10-crop errors (Table 2)" in plain(made.caption)


def test_a_shortened_schedule_is_said_in_title_caption_and_axis(tmp_path: Path) -> None:
    make_run(tmp_path, "plain20", errors=(60.0, 20.0), iterations=4000)
    made = plot(FIGURE["figure6"], tmp_path)
    assert "1/16 of the paper's 64,000" in plain(made.caption)
    assert made.title.endswith("(shortened: 4,000 of 64,000 iterations)")
    assert not any(panel.marks for panel in made.panels)  # they are of iteration 64,000
    assert "experiment=figure6 scale=0.0625" in plain(made.caption)
    assert made.y_limits == (0, 32)


def test_a_figure_never_mixes_lengths_or_recipes(tmp_path: Path) -> None:
    """The longest schedule that two networks share is drawn; one alone compares nothing."""
    make_run(tmp_path, "resnet20-A", iterations=64_000)
    make_run(tmp_path / "other", "plain20", "batch_size=64", iterations=64_000)
    for name in ("plain20", "resnet20-A"):
        make_run(tmp_path, name, iterations=4000)
    assert plot(FIGURE["figure6"], tmp_path).x_end == 4000
    alone = whole_schedule(FIGURE["figure6"], find([tmp_path])[0])  # by itself then
    assert alone is not None and alone.name == "figure6-full"
    assert "the full schedule as far as it was run" in alone.title
    assert {name for _, name, _ in contents(alone)} == {"20-layer"}
    assert whole_schedule(FIGURE["figure1"], find([tmp_path])[0]) is None
    make_run(tmp_path, "plain20", iterations=64_000)
    assert plot(FIGURE["figure6"], tmp_path).x_end == 64_000
    assert whole_schedule(FIGURE["figure6"], find([tmp_path])[0]) is None


def test_the_papers_two_gpus_are_the_papers_recipe(tmp_path: Path) -> None:
    make_run(tmp_path, "plain20", "bn_batch=64", iterations=64_000)
    make_run(tmp_path, "plain32", "bn_batch=4", iterations=64_000)
    assert {name for _, name, _ in contents(plot(FIGURE["figure6"], tmp_path))} == {"20-layer"}


def test_what_ends_above_the_axis_is_named(tmp_path: Path) -> None:
    make_run(tmp_path, "plain20", errors=(9.0,), iterations=64_000)
    make_run(tmp_path, "plain110", errors=(61.5,), iterations=64_000)
    assert "Off the plot: plain-110 at 61.50 %." in plain(plot(FIGURE["figure6"], tmp_path).caption)


def test_nothing_run_is_no_figure(tmp_path: Path) -> None:
    make_run(tmp_path, "plain20", dataset="synthetic")
    runs, _ = find([tmp_path])
    assert [papers_figure(frame, runs) for frame in frames()] == [None, None, None]


def test_only_one_setting_is_compared_and_the_rest_named(tmp_path: Path) -> None:
    make_run(tmp_path, "plain20")
    make_run(tmp_path, "resnet20-A")
    longer = make_run(tmp_path / "longer", "resnet20-A", errors=(50.0, 20.0, 10.0))
    made = degradation(find([tmp_path])[0])
    assert made is not None
    assert {(run.network, run.iterations) for run in made.runs} == {
        ("plain20", 200),
        ("resnet20-A", 200),
    }
    assert f"Not drawn here, being of another setting: {longer}." in plain(made.caption)


def test_figure_7_sorts_below_what_it_orders_above(tmp_path: Path) -> None:
    make_run(tmp_path, "plain20", iterations=64_000)
    make_run(tmp_path, "resnet20-A", iterations=64_000)
    runs, _ = find([tmp_path])
    made = figure7.figure7(
        [(run, [1.0, 3.0, 2.0]) for run in figure7.to_measure(runs)], images=1000
    )
    assert made is not None
    assert contents(made)["by layer", "ResNet-20", True] == [(1, 1.0), (2, 3.0), (3, 2.0)]
    assert contents(made)["sorted", "plain-20", False] == [(1, 3.0), (2, 2.0), (3, 1.0)]
    assert "Not measured at this length: plain-56, ResNet-56, ResNet-110." in plain(made.caption)


def test_a_figure_is_drawn_to_the_same_bytes_twice(tmp_path: Path) -> None:
    make_run(tmp_path, "plain20", iterations=64_000)
    made = plot(FIGURE["figure6"], tmp_path)
    first = [path.read_bytes() for path in draw(made, tmp_path)]
    assert [path.read_bytes() for path in draw(made, tmp_path)] == first
    assert first[0][:4] == b"\x89PNG"
    assert b"<svg" in first[1]


@pytest.mark.parametrize("depth", [20, 26])
def test_a_run_that_has_logged_nothing_is_no_curve(tmp_path: Path, depth: int) -> None:
    settings = [f"model.depth={depth}", "optimizer.lr=0.1"]
    make_run(tmp_path, "plain20", *settings, errors=(), iterations=64_000, done=False)
    runs, _ = find([tmp_path])
    assert len(runs) == 1
    assert degradation(runs) is None


def test_several_seeds_are_a_mean_and_a_band(tmp_path: Path) -> None:
    for seed, errors in enumerate([(60.0, 12.0), (50.0, 9.0), (52.0, 9.0, 8.0)]):
        make_run(tmp_path, "plain20", seed=seed, errors=errors, iterations=64_000)
    make_run(tmp_path, "plain20", seed=3, errors=(99.0,), iterations=64_000, done=False)
    made = plot(FIGURE["figure6"], tmp_path)
    (curve,) = [curve for curve in made.panels[0].curves if curve.bold]
    # iteration 300 one seed alone has, and the running one counts when it is done
    assert (curve.x, curve.y) == ([100, 200], [54.0, 10.0])
    assert curve.band == ([50.0, 9.0], [60.0, 12.0])
    assert "seeds 0, 1, 2" in plain(made.caption) and "lowest seed" in plain(made.caption)


@pytest.mark.parametrize("count", [1, 2, 200, 201, 640, 6000])
def test_a_thinned_band_holds_the_whole(count: int) -> None:
    draws = np.random.default_rng(0)
    x, low = np.arange(count), draws.normal(size=count)
    high = low + draws.random(count)
    at, below, above = outlined(x.tolist(), low.tolist(), high.tolist())
    assert len(at) <= 402 and (at[0], at[-1]) == (0, count - 1)
    assert (np.interp(x, at, below) <= low + 1e-12).all()
    assert (np.interp(x, at, above) >= high - 1e-12).all()


def test_finished_short_runs_are_drawn_before_a_whole_one_that_has_begun(tmp_path: Path) -> None:
    for name in ("plain20", "plain56"):
        make_run(tmp_path, name, errors=(60.0, 20.0), iterations=4000)
        make_run(tmp_path, name, errors=(90.0,), iterations=64_000, done=False)
    assert plot(FIGURE["figure1"], tmp_path).x_end == 4000


def test_names_are_readable_on_white() -> None:
    """WCAG: black on white is 21, and text wants 4.5."""
    assert luminance((1, 1, 1)) == pytest.approx(1)
    assert 1.05 / (luminance(to_rgb("#777777")) + 0.05) == pytest.approx(4.48, abs=0.01)
    for colour in ("#E69F00", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#999999"):
        assert 1.05 / (luminance(to_rgb(readable(colour))) + 0.05) >= 4.5
    assert readable("#000000") == "#000000"


@pytest.mark.parametrize(
    ("network", "name"),
    [("plain56", "plain-56"), ("resnet56-A", "ResNet-56"), ("resnet34-B", "ResNet-34 B"),
     ("resnet50-32x4d-B", "ResNet-50 32x4d B")],
)  # fmt: skip
def test_networks_are_called_as_in_the_paper(network: str, name: str) -> None:
    assert spoken(network) == name

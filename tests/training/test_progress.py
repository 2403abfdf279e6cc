"""Progress in checkpoints: the names on disk are those that checkpoints have always had."""

from typing import Any

from resnet_cli.runtime.parse import parse
from resnet_cli.training.progress import Progress, progress_fields
from resnet_cli.training.schedule import PlateauState

# as the first version wrote it, with a value of its own in every field
STORED: dict[str, Any] = {
    "iteration": 400,
    "seconds": 12.5,
    "warming": True,
    "warmup_ended_at": None,
    "logged": (300, 450.0, 30_000),
    "warmed": (350, 500.0, 33_000),
    "last": {"train/loss": 1.5},
    "best_error": 60.0,
    "best_iteration": 200,
    "watched": {"best": 60.0, "waited": 2, "fallen": 1},
    "skipped": ["a.jpg"],
}
PROGRESS = Progress(
    iteration=400,
    seconds=12.5,
    in_warmup=True,
    at_log=(300, 450.0, 30_000),
    at_warmup_check=(350, 500.0, 33_000),
    last={"train/loss": 1.5},
    best_error=60.0,
    best_iteration=200,
    plateau=PlateauState(best=60.0, bad_evaluations=2, drops=1),
    skipped=["a.jpg"],
)


def read_progress(stored: dict[str, Any]) -> Progress:
    return parse(Progress, progress_fields(stored))


def test_a_checkpoint_of_any_version_is_read() -> None:
    assert read_progress(STORED) == PROGRESS
    # tuples may be lists, and the oldest checkpoints have no plateau
    oldest: dict[str, Any] = {name: value for name, value in STORED.items() if name != "watched"}
    oldest |= {"logged": [300, 450.0, 30_000]}
    read = read_progress(oldest)
    assert read.plateau == PlateauState() and read.at_log == PROGRESS.at_log


def test_the_names_on_disk_stay() -> None:
    assert PROGRESS.to_plain() == STORED
    assert list(PROGRESS.to_plain()) == list(STORED)


def test_number_formats_are_kept_in_the_order_of_their_use() -> None:
    progress = read_progress(STORED)
    for one in ("bf16", "bf16", "fp32", "bf16"):
        progress.go_on_in(one)
    assert progress.to_plain() == STORED | {"precisions": ["bf16", "fp32"]}
    assert read_progress(progress.to_plain()) == progress

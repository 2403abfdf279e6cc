"""The rows of a run's progress: at most 80 columns, with a gap between any two figures."""

import re

from resnet_cli.runtime.progress import ProgressTable

LONG = ["val/error", "test/error", "test/top5_error"]


def test_a_row_fits_80_columns_and_its_figures_stay_apart() -> None:
    """Also with a rate that a cosine gives, and every error there is."""
    table = ProgressTable(iterations=600_000, measured=LONG)
    values = dict.fromkeys(("train/error", *LONG), 100.0)
    for lr, shown in (
        (0.1, "0.1"),
        (0.0984801, "0.0985"),
        (0.000123456, "0.000123"),
        (1e-5, "1e-05"),
    ):
        row = table.row(
            600_000, values | {"lr": lr, "images_per_second": 1234.5}, left="34 min 29 s"
        )
        assert len(row) <= 80 and len(table.heading) <= 80
        assert row.split()[:6] == ["600,000/600,000", *["100.00"] * 4, shown]
        assert not re.search(r"\d\.\d*\.", row)

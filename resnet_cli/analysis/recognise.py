"""What resnet-eval --images does: names what is in a person's own pictures."""

from pathlib import Path

from resnet_cli.analysis.measure import Bench, open_all, score
from resnet_cli.data.images import Dataset
from resnet_cli.data.layouts.pictures import pictures
from resnet_cli.data.photographs import BadImages
from resnet_cli.evaluation.choices import Views
from resnet_cli.evaluation.metrics import names_of, top
from resnet_cli.evaluation.protocol import Protocol
from resnet_cli.runtime.console import Console
from resnet_cli.runtime.device import choose_device, choose_dtype
from resnet_cli.runtime.errors import DataError


def recognise(
    paths: list[Path], overrides: list[str], folder: Path
) -> dict[str, list[tuple[str, float]]]:
    """What --images asks for: the five likeliest classes of each picture, with their probabilities.

    Raises UserError and DataError.
    """
    subjects = open_all(paths, overrides)
    first = subjects[0]
    for one in subjects:
        one.validate_has_mean_image()
    names, samples = names_of(first.class_names()), pictures(folder)
    dataset = Dataset(
        name=first.config.dataset.name,
        classes=names,
        image_size=first.image_size,
        train=samples,
        test=None,
    )
    device = choose_device(first.config.device, mps_will_do=False)
    bad = BadImages(skip=True, max_skipped=len(samples), warn=Console("resnet-eval").warn)
    bench = Bench(subjects, dataset, device, choose_dtype(first.config.precision, device), bad)
    test = bench.photographs(samples, Protocol(views=Views.single, image_size=first.image_size))
    found: dict[str, list[tuple[str, float]]] = {}
    for scores, _, indices in score(bench, test):
        found |= {
            test.samples.path(index): top(one, names)
            for one, index in zip(scores, indices.tolist(), strict=True)
        }
    if not found:
        raise DataError(f"--images {folder}: no picture in it could be decoded")
    return found

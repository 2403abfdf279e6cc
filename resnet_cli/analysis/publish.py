"""Networks for others: weights with a card that tells all one needs to measure them again, or a
program.
"""

from pathlib import Path

from resnet_cli.analysis.subject import Subject
from resnet_cli.analysis.trained import digest, published, published_command
from resnet_cli.config.plain import to_plain
from resnet_cli.data.images import fit_normalizer
from resnet_cli.data.samples import SamplesBuilder
from resnet_cli.evaluation.card import PIXEL_MEAN, Card, Measured, card_header
from resnet_cli.evaluation.programs import write_program
from resnet_cli.evaluation.weights import export


def export_subject(subject: Subject, path: Path, *, measured: Measured) -> None:
    """Writes the weights under torchvision's names; a .safetensors of a run of ours also says in
    its header what `measured` it, and of which run it is.

    The mean image lies beside the weights as a tensor; a mean per channel is in the header.
    """
    if subject.origin is None or subject.normalizer is None:
        export(subject.network, path)
        return
    config, pixels = published(subject.origin.config), subject.normalizer
    per_pixel = pixels.mean.shape[-1] > 1
    card = Card(
        network=subject.name,
        architecture=to_plain(subject.network.architecture),
        config=config,
        config_sha256=digest(config),
        seed=subject.origin.config.seed,
        iteration=subject.origin.iteration,
        command=published_command(subject.origin.command),
        commit=subject.origin.commit,
        classes=None if subject.classes is None else list(subject.classes),
        measured=measured,
        std=pixels.std.flatten().tolist(),
        mean=None if per_pixel else pixels.mean.flatten().tolist(),
    )
    export(
        subject.network,
        path,
        header=card_header(card),
        beside={PIXEL_MEAN: pixels.mean} if per_pixel else {},
    )


def export_program(subject: Subject, path: Path) -> None:
    """Writes ONNX or .pt2. The data is not needed.

    Raises UserError where the mean image of its training set is nowhere to be had, or where the
    packages that write ONNX are missing.
    """
    subject.validate_has_mean_image()
    pixels = subject.normalizer or fit_normalizer(
        subject.config.dataset.normalization, SamplesBuilder().build()
    )
    write_program(
        subject.network,
        pixels,
        path,
        image_size=subject.image_size,
        classes=subject.class_names(),
    )

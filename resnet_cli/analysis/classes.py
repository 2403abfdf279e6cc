"""Which classes networks tell apart, beside one another and beside the data's."""

from collections.abc import Sequence

from resnet_cli.analysis.subject import Subject
from resnet_cli.data.choices import Normalization
from resnet_cli.data.identity import imagenet_wnids
from resnet_cli.data.images import Dataset
from resnet_cli.models.architecture import Shortcut
from resnet_cli.runtime.errors import UserError

_NEAR_CHANCE = 0.75  # of the error of guessing


def validate_ensemble(subjects: list[Subject]) -> None:
    """An ensemble looks at the same images and tells the same classes apart. Raises UserError."""
    first = subjects[0]
    for other in subjects[1:]:
        if _images_of(other) != _images_of(first):
            raise UserError(
                f"{other.path} has other images than {first.path} "
                f"({first.config.dataset.name}): they make no ensemble"
            )
        mine, theirs = (one.network.architecture.num_classes for one in (first, other))
        if mine != theirs or (first.classes and other.classes and first.classes != other.classes):
            raise UserError(
                f"{other.path} tells other classes apart ({theirs}) than {first.path} "
                f"({mine}): they make no ensemble"
            )


def _images_of(one: Subject) -> tuple[object, ...]:
    """What decides which images a run's splits hold."""
    data = one.config.dataset
    return data.name, data.validation, data.train_images, data.test_images, one.image_size


def output_names(one: Subject, dataset: Dataset, outputs: Sequence[int] | None) -> tuple[str, ...]:
    """What the network's outputs are called; `outputs` are those of the data's classes."""
    if one.classes is not None:
        return one.class_names()
    return dataset.classes if outputs is None else imagenet_wnids()


def outputs_of(one: Subject, dataset: Dataset) -> tuple[int, ...] | None:
    """Which output of the network each class of the data is; None where they are its first ones.

    Classes are matched by their names. Those of a network with 1,000 outputs that does not name
    them are ImageNet's, if those of the data are, too. Raises UserError where a class is unknown to
    the network.
    """
    knows, there = one.network.architecture.num_classes, len(dataset.classes)
    known = one.classes
    if (
        known is None
        and knows == len(imagenet_wnids())
        and {*dataset.classes} <= {*imagenet_wnids()}
    ):
        known = imagenet_wnids()
    if known is None or (one.classes is None and knows == there):
        if knows != there:
            raise UserError(f"{one.path} tells {knows:,} classes apart, the data has {there:,}")
        return None
    if known == dataset.classes:
        return None
    if odd := [name for name in dataset.classes if name not in known]:
        raise UserError(f"{one.path} was trained on other classes than the data has ({odd[0]})")
    return tuple(map(known.index, dataset.classes))


def hint_near_chance(subjects: list[Subject], *, top1_error: float) -> str | None:
    """What to try where another project's weights do little better than guess; else None.

    `top1_error`: in percent.
    """
    foreign = next((one for one in subjects if one.origin is None), None)
    if foreign is None:
        return None
    net = foreign.network.architecture
    chance = 100 * (1 - 1 / net.num_classes)
    if top1_error < _NEAR_CHANCE * chance:
        return None
    zeros = "where shortcut A pads its zeros (model.zero_padding=after or both) and "
    return (
        f"{top1_error:.2f} % is near chance, which is {chance:.2f} %. Files of weights do not tell "
        f"{zeros if net.shortcut is Shortcut.A else ''}how their pixels were normalized "
        f"(dataset.normalization={' or '.join(Normalization)})"
    )

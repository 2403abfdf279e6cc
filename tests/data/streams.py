"""Streams of the few pictures of `trees`, also for programs that a test starts."""

from pathlib import Path

from resnet_cli.data.choices import Augmentation, Normalization
from resnet_cli.data.images import fit_normalizer
from resnet_cli.data.photographs import BadImages
from resnet_cli.data.samples import Samples
from resnet_cli.data.streaming import StreamingLoader


def loader(
    samples: Samples,
    *,
    workers: int = 0,
    how: Augmentation = Augmentation.paper,
    bad: BadImages | None = None,
) -> StreamingLoader:
    normalizer = fit_normalizer(Normalization.imagenet, samples)
    return StreamingLoader(
        samples=samples,
        augmentation=how,
        normalizer=normalizer,
        batch_size=4,
        seed=7,
        image_size=32,
        workers=workers,
        bad=bad or BadImages(),
    )


def break_one(samples: Samples, index: int) -> str:
    path = Path(samples.path(index))
    path.write_bytes(path.read_bytes()[:100])
    return str(path)

"""Measures a made-up network on 47 images, in however many processes it is started; each prints
the errors of all.
"""

import os

import torch

from resnet_cli.data.images import Normalizer, Split
from resnet_cli.evaluation.metrics import measure
from resnet_cli.evaluation.protocol import ImageTest
from resnet_cli.runtime.distributed import process_group
from tests.helpers.processes import PATIENCE


def main() -> None:
    """Not at the top of the module, see trained.py."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 10))
    test = ImageTest(
        Split(torch.randint(0, 256, (47, 3, 32, 32), dtype=torch.uint8), torch.arange(47) % 10),
        batch_size=5,
    )
    pixels = Normalizer(torch.zeros(3, 1, 1), torch.ones(3, 1, 1))
    with process_group(torch.device("cpu"), timeout=PATIENCE) as context:
        errors = measure([(network, pixels)], test, dtype=torch.float32, context=context)  # type: ignore[list-item]
        line = (
            f"{errors.top1_error=} {errors.top5_error=} {errors.count=} Errors(loss "
            f"{errors.loss:.9f})\n"
        )
        os.write(1, line.encode())  # whole, however many write


if __name__ == "__main__":
    main()

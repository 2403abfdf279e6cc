"""What is read of conf/ without Hydra is what Hydra composes."""

import pytest

from resnet_cli.config.compose import jobs
from resnet_cli.config.experiments import experiments, recipe
from resnet_cli.config.plain import flatten, to_plain
from resnet_cli.models.zoo import NETWORKS
from resnet_cli.runtime.conf import options


@pytest.mark.parametrize("experiment", experiments())
def test_an_experiments_networks(experiment: str) -> None:
    planned, _ = jobs([f"experiment={experiment}"], multirun=False)
    ours = experiments()[experiment]
    assert len({job.folder for job in planned}) == len(planned) > 0
    assert [one.network.name for one in ours] == [job.folder.parts[2] for job in planned]
    assert [one.model for one in ours] == [
        word.removeprefix("model=")
        for job in planned
        for word in job.overrides
        if word.startswith("model=")
    ]


MODELS = [
    "plain20",
    "resnet110",
    "resnet1202",
    "resnet18",
    "resnet50",
    "resnext50_32x4d",
    "preact110",
]


@pytest.mark.parametrize("dataset", options("dataset"))
@pytest.mark.parametrize("model", MODELS)
def test_a_recipe(dataset: str, model: str) -> None:
    (job,), _ = jobs([f"model={model}", f"dataset={dataset}"], multirun=False)
    composed = flatten(to_plain(job.config))
    ours = recipe(dataset, model)
    assert "${" in ours.pop("dataset.root")
    assert ours.pop("dataset.label", "") == ""  # the folder's name, as it turns out to be
    assert NETWORKS[model].depth == ours["model.depth"]
    assert ours == {key: composed[key] for key in ours}

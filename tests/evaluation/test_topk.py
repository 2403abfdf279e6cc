"""The likeliest classes, by name."""

import pytest
import torch

from resnet_cli.evaluation.metrics import names_of, top


def test_the_likeliest_come_first() -> None:
    scores = torch.tensor([0.1, 0.4, 0.05, 0.2, 0.03, 0.22])
    found = top(scores, ["a", "b", "c", "d", "e", "f"])
    assert [name for name, _ in found] == ["b", "f", "d", "a", "c"]
    assert [value for _, value in found] == pytest.approx([0.4, 0.22, 0.2, 0.1, 0.05])
    assert [name for name, _ in top(scores, list("abcdef"), k=2)] == ["b", "f"]


def test_of_few_classes_all_are_told() -> None:
    assert [name for name, _ in top(torch.tensor([0.3, 0.7]), ["cat", "dog"])] == ["dog", "cat"]


def test_imagenets_classes_have_names() -> None:
    for classes in (
        [f"n{number:08d}" for number in range(1000)],
        [str(number) for number in range(1000)],
    ):
        names = names_of(classes)
        assert len(names) == 1000
        # by wnid: the first, the last, and one whose place in the middle is well known
        assert (names[0], names[207], names[999]) == ("tench", "golden retriever", "toilet tissue")


def test_other_classes_are_their_own_names() -> None:
    assert names_of(["n01440764", "n01443537"]) == ("n01440764", "n01443537")
    mine = [f"my class {number}" for number in range(1000)]
    assert names_of(mine) == tuple(mine)

"""The fused kernels against PyTorch's own layers in float64, in Triton's interpreter on a CPU.

In float32 a sum of up to 576 products, and of the pixels, is wrong by some 1e-7 of the largest
value in each of a handful of layers. 1e-5 leaves room for that, and none for a wrong pixel, channel
or factor.
"""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import batch_norm, conv2d, cross_entropy, relu

from resnet_cli.models.architecture import Architecture, Block, Shortcut, Stem, ZeroPadding, cifar
from resnet_cli.models.resnet import ResNet

pytestmark = [
    pytest.mark.numerical,
    pytest.mark.skipif(find_spec("triton") is None, reason="needs Triton, of PyTorch for Linux"),
]
MOMENTUM, EPS = 0.1, 1e-5

Found = dict[str, dict[str, Tensor]]


def carry(x: Tensor, *, channels: int, stride: int, before: int) -> Tensor:
    """Shortcut A: every `stride`-th pixel, between zeros."""
    kept = x[:, :, ::stride, ::stride]
    wide = kept.new_zeros(len(kept), channels, *kept.shape[2:])
    wide[:, before : before + kept.shape[1]] = kept
    return wide


def make_map(*shape: int) -> Tensor:
    return torch.randn(shape).contiguous(memory_format=torch.channels_last)


def make_table(x: Tensor) -> Tensor:
    """Mean, 1 / deviation, scale and shift of a BN of x."""
    values = x.double()
    inverse = (values.var((0, 2, 3), correction=0) + EPS).rsqrt()
    scale, shift = torch.rand(x.shape[1]) + 0.5, torch.randn(x.shape[1])
    return torch.stack([values.mean((0, 2, 3)), inverse, scale * inverse, shift]).float()


def normalized(x: Tensor, table: Tensor) -> Tensor:
    return (x - table[0, :, None, None]) * table[1, :, None, None]


def before_relu(x: Tensor, table: Tensor, shortcut: Any) -> Tensor:
    """BN(x) + shortcut."""
    y = (x - table[0, :, None, None]) * table[2, :, None, None] + table[3, :, None, None]
    if shortcut:
        way, stride, before = shortcut
        y = y + carry(way.double(), channels=x.shape[1], stride=stride, before=before)
    return y


# sizes: inputs, outputs, stride. map: [N, H, W] of what is read. ends, begins: the shortcuts that
# do so there, as channels, stride, zeros in front, and of the one that ends the sides of its map.
# None of the maps is a multiple of the 128 or 64 pixels that a program takes.
LAYERS: dict[str, dict[str, Any]] = {
    "the stem": {"sizes": (3, 16, 1), "map": (3, 7, 7), "stem": True},
    "within a block": {"sizes": (16, 16, 1), "map": (2, 9, 8)},
    "between blocks": {
        "sizes": (16, 16, 1), "map": (3, 8, 8), "ends": (16, 1, 0, 8, 8), "begins": (16, 1, 0),
    },
    "into a stage": {
        "sizes": (16, 32, 2), "map": (4, 7, 9), "ends": (16, 1, 0, 7, 9), "begins": (32, 2, 8),
    },
    "behind a wider block": {
        "sizes": (64, 64, 1), "map": (3, 5, 5), "ends": (32, 2, 16, 10, 9), "begins": (64, 1, 0),
    },
}  # fmt: skip


def make_layer(
    sizes: tuple[int, int, int],
    map: tuple[int, int, int],
    ends: tuple[int, ...] | None = None,
    begins: tuple[int, int, int] | None = None,
    stem: bool = False,
) -> dict[str, Any]:
    (inputs, outputs, stride), (n, h, w) = sizes, map
    x, weight = make_map(n, inputs, h, w), make_map(outputs, inputs, 3, 3)
    shape = (n, outputs, -(-h // stride), -(-w // stride))
    bn = {"weight": torch.rand(outputs) + 0.5, "bias": torch.randn(outputs)}
    bn |= {"running_mean": torch.randn(outputs), "running_var": torch.rand(outputs)}
    case: dict[str, Any] = {"x": x, "keep": begins is not None}
    case |= {"table": None if stem else make_table(x)}
    case |= {"shortcut": None, "carried": None, "weight": weight, "stride": stride}
    case |= {"bn": bn | {"num_batches_tracked": torch.tensor(0)}, "grad": make_map(*shape)}
    if ends:
        channels, way, before, height, width = ends
        case["shortcut"] = make_map(n, channels, height, width), way, before
    if begins:
        channels, way, before = begins
        returning = make_map(n, channels, -(-h // way), -(-w // way))
        case["carried"] = returning, way, before
    case["means"] = expect_layer(case)["z_means"].float()
    return case


def expect_layer(case: dict[str, Any]) -> dict[str, Tensor]:
    """What a layer must find, in float64 by autograd."""
    x, weight, table = case["x"].double(), case["weight"].double(), case["table"]
    weight.requires_grad_()
    table = None if table is None else table.double()
    y = x if table is None else before_relu(x, table, case["shortcut"])
    y = y.detach().requires_grad_()
    a = y if table is None else relu(y)
    z = conv2d(a, weight, stride=case["stride"], padding=1)
    bn = {name: value.double() for name, value in case["bn"].items()}
    mean, var = bn["running_mean"], bn["running_var"]
    out = batch_norm(
        z, mean, var, bn["weight"], bn["bias"], training=True, momentum=MOMENTUM, eps=EPS
    )
    grad = case["grad"].double()
    loss = (out * grad).sum()
    if case["carried"]:
        way, stride, before = case["carried"]
        over = carry(a, channels=way.shape[1], stride=stride, before=before)
        loss = loss + (over * way.double()).sum()
    loss.backward()
    z_mean, inverse = z.mean((0, 2, 3)), (z.var((0, 2, 3), correction=0) + EPS).rsqrt()
    of_z = torch.stack([z_mean, inverse, bn["weight"] * inverse, bn["bias"]])
    slope = (grad * normalized(z, of_z)).mean((0, 2, 3)) * inverse
    found = {"z": z, "table": of_z, "mean": mean, "var": var, "grad_weight": weight.grad}
    found |= {"z_means": torch.stack([grad.mean((0, 2, 3)), slope])}
    if case["keep"]:
        found["kept"] = a
    if table is not None:
        assert y.grad is not None
        scaled = (y.grad * normalized(x, table)).sum((0, 2, 3))
        found |= {"grad": y.grad, "grad_scale": scaled, "grad_shift": y.grad.sum((0, 2, 3))}
    return {name: value.detach() for name, value in found.items() if value is not None}


def make_head() -> dict[str, Any]:
    x = make_map(3, 64, 5, 5)
    shortcut = make_map(3, 32, 10, 9), 2, 16
    return {"x": x, "table": make_table(x), "shortcut": shortcut, "grad": torch.randn(3, 64)}


def make_statistics() -> dict[str, Tensor]:
    """A map of mean 1,000 and deviation 1, which the convolution hands on as it is."""
    weight = torch.zeros(16, 16, 3, 3).contiguous(memory_format=torch.channels_last)
    weight[torch.arange(16), torch.arange(16), 1, 1] = 1
    return {"x": make_map(3, 16, 8, 8) + 1000, "weight": weight}


def small(shortcut: Shortcut, **others: Any) -> Architecture:
    """Two stages of one block."""
    return Architecture(
        stem=Stem.cifar, block=Block.basic, blocks=(1, 1), widths=(16, 32), shortcut=shortcut,
        num_classes=10, **others,
    )  # fmt: skip


NETWORKS: dict[str, tuple[Architecture, tuple[int, int, int], bool]] = {
    "resnet8": (cifar(8, shortcut=Shortcut.A), (3, 8, 8), False),
    "plain": (small(Shortcut.none), (2, 6, 6), False),
    "zeros on both sides, fp16": (
        small(Shortcut.A, layers_per_block=1, zero_padding=ZeroPadding.both), (4, 5, 7), True,
    ),
}  # fmt: skip


def make_network(net: Architecture, size: tuple[int, int, int], fp16: bool) -> dict[str, Any]:
    network = ResNet(net)
    for name, parameter in network.named_parameters():
        if "bn" in name:  # as if it had been trained
            torch.nn.init.normal_(parameter, mean=1.0 * name.endswith("weight"), std=0.3)
    count, *sides = size
    return {
        "net": net,
        "state": {name: value.clone() for name, value in network.state_dict().items()},
        "images": torch.randn(count, 3, *sides),
        "labels": torch.arange(count) % 10,
        "fp16": fp16,
    }


def train_ordinarily(case: dict[str, Any], dtype: torch.dtype) -> dict[str, Tensor]:
    """A step of the network through PyTorch's layers in float64, or with products in fp16."""
    kept = torch.float32 if dtype is torch.float16 else dtype
    network = ResNet(case["net"])
    network.load_state_dict(case["state"])
    network.to(kept)
    with torch.autocast("cpu", dtype, enabled=dtype is torch.float16):
        logits = network(case["images"].to(kept))
    cross_entropy(logits.to(kept), case["labels"]).backward()
    averages = {name: value for name, value in network.named_buffers() if "running" in name}
    grads = {name: one.grad for name, one in network.named_parameters() if one.grad is not None}
    return {"logits": logits.detach(), **grads, **averages}


@pytest.fixture(scope="module")
def given() -> dict[str, dict[str, Any]]:
    torch.manual_seed(0)
    cases = {f"layer {name}": make_layer(**sizes) for name, sizes in LAYERS.items()}
    cases |= {"head": make_head(), "statistics": make_statistics(), "head with nan": make_head()}
    cases["head with nan"]["x"][0, 1, 2, 3] = torch.nan
    return cases | {f"network {name}": make_network(*one) for name, one in NETWORKS.items()}


@pytest.fixture(scope="module")
def found(given: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Found:
    """What the kernels make of the cases."""
    folder = tmp_path_factory.mktemp("interpreted")
    paths = folder / "given.pt", folder / "found.pt"
    torch.save(given, paths[0])
    done = subprocess.run(
        [sys.executable, "-m", "tests.models.interpreted", *map(str, paths)],
        env=os.environ | {"TRITON_INTERPRET": "1"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return torch.load(paths[1])


def error(one: Tensor, expected: Tensor) -> float:
    """The largest difference, as a fraction of the largest value."""
    assert one.shape == expected.shape
    return float((one.double() - expected).abs().max() / expected.abs().max())


def assert_near(found: dict[str, Tensor], expected: dict[str, Tensor], *, within: float) -> None:
    errors = {name: error(found[name], value) for name, value in expected.items()}
    assert {name: one for name, one in errors.items() if not one <= within} == {}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_pytorchs_forward_and_back(
    name: str, given: dict[str, dict[str, Any]], found: Found
) -> None:
    """The activated map, its convolution, the statistics behind it, and every gradient."""
    expected = expect_layer(given[f"layer {name}"])
    del expected["z_means"]  # they were given
    assert_near(found[f"layer {name}"], expected, within=1e-5)


def test_the_head_is_pytorchs_forward_and_back(
    given: dict[str, dict[str, Any]], found: Found
) -> None:
    case = given["head"]
    x, table = case["x"].double(), case["table"].double()
    y = before_relu(x, table, case["shortcut"]).requires_grad_()
    pooled = relu(y).mean((2, 3))
    pooled.backward(case["grad"].double())
    assert y.grad is not None
    expected = {"pooled": pooled.detach(), "grad": y.grad, "grad_shift": y.grad.sum((0, 2, 3))}
    expected["grad_scale"] = (y.grad * normalized(x, table)).sum((0, 2, 3))
    assert_near(found["head"], expected, within=1e-5)


def test_a_variance_survives_a_mean_a_thousand_times_its_root(
    given: dict[str, dict[str, Any]], found: Found
) -> None:
    """In float32, the mean of squares less the square of the mean would keep one digit of it."""
    x = given["statistics"]["x"].double()
    inverse = (x.var((0, 2, 3), correction=0) + EPS).rsqrt()
    expected = {"mean": x.mean((0, 2, 3)), "inverse": inverse}
    assert_near(found["statistics"], expected, within=1e-6)


@pytest.mark.parametrize("name", [one for one in NETWORKS if "fp16" not in one])
def test_a_step_of_a_network_is_the_ordinary_one(
    name: str, given: dict[str, dict[str, Any]], found: Found
) -> None:
    """Logits, all gradients and running averages."""
    expected = train_ordinarily(given[f"network {name}"], torch.float64)
    assert found[f"network {name}"].keys() == expected.keys()
    assert_near(found[f"network {name}"], expected, within=1e-5)


@pytest.mark.parametrize("name", [one for one in NETWORKS if "fp16" in one])
def test_in_fp16_it_rounds_no_worse_than_the_ordinary_step(
    name: str, given: dict[str, dict[str, Any]], found: Found
) -> None:
    """Measured from float64, tensor by tensor; bf16 the interpreter cannot multiply."""
    case, ours = given[f"network {name}"], found[f"network {name}"]
    expected = train_ordinarily(case, torch.float64)
    ordinary = train_ordinarily(case, torch.float16)
    for key, value in expected.items():
        theirs = error(ordinary[key], value)
        assert error(ours[key], value) <= max(1.5 * theirs, 1e-3), key
        assert theirs < 0.1, key


def test_nan_passes_relu(given: dict[str, dict[str, Any]], found: Found) -> None:
    """A run that diverges is noticed by its loss."""
    x = given["head with nan"]["x"]
    assert torch.equal(found["head with nan"]["pooled"].isnan(), x.isnan().any(3).any(2))

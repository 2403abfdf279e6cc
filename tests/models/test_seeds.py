"""Seeds side by side in one network against the same networks trained alone."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from resnet_cli.models.architecture import (
    Activation,
    Architecture,
    Block,
    Shortcut,
    Stem,
    ZeroPadding,
    cifar,
)
from resnet_cli.models.fold_bn import FoldedBN
from resnet_cli.models.layers import BatchNorm, bn_counters, set_bn_groups
from resnet_cli.models.resnet import ResNet
from resnet_cli.models.seeds import Seeds, losses_of_each
from resnet_cli.runtime.compile import missing_for_compiling
from resnet_cli.training.casting import CastOnce
from tests.helpers.numbers import assert_same

RESNET8 = cifar(8, shortcut=Shortcut.A)
RESNEXT = Architecture(
    stem=Stem.imagenet,
    block=Block.bottleneck,
    blocks=(1, 1),
    widths=(16, 32),
    shortcut=Shortcut.B,
    num_classes=7,
    groups=2,
    width_per_group=16,
)
NETS = {
    "plain8": cifar(8, shortcut=Shortcut.none),
    "resnet8-A": RESNET8,
    "resnet8-A, zeros on both sides": replace(RESNET8, zero_padding=ZeroPadding.both),
    "resnet8-B": cifar(8, shortcut=Shortcut.B),
    "resnet8-C": cifar(8, shortcut=Shortcut.C),
    "one layer a block": cifar(8, shortcut=Shortcut.A, layers_per_block=1),
    "bottleneck": cifar(11, shortcut=Shortcut.A, block=Block.bottleneck),
    "pre-activation": cifar(8, shortcut=Shortcut.B, activation=Activation.pre),
    "ResNeXt for photographs": RESNEXT,
}
SEEDS, IMAGES = 3, 4
ON_BOTH = [
    "cpu",
    pytest.param(
        "cuda",
        marks=[
            pytest.mark.cuda,
            pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
        ],
    ),
]
State = dict[str, Tensor]


def different(net: Architecture, *, seeds: int = SEEDS, device: str = "cpu") -> list[ResNet]:
    """Networks whose weights, BN included, differ."""
    torch.manual_seed(0)
    networks = [ResNet(net) for _ in range(seeds)]
    for network in networks:
        for layer in network.modules():
            if isinstance(layer, BatchNorm):
                nn.init.uniform_(layer.weight, 0.5, 1.5)
                nn.init.normal_(layer.bias, std=0.2)
        network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return networks


def draw(net: Architecture, step: int, *, seeds: int = SEEDS) -> tuple[Tensor, Tensor]:
    """Each seed's own images [R, N, 3, H, W] and labels [R, N]; the side is odd on the way."""
    generator = torch.Generator().manual_seed(step)
    side = 10 if net.stem is Stem.cifar else 32
    images = torch.randn(seeds, IMAGES, 3, side, side, generator=generator)
    return images, torch.randint(0, net.num_classes, (seeds, IMAGES), generator=generator)


def side_by_side(images: Tensor) -> Tensor:
    """[R, N, 3, H, W] -> [N, R * 3, H, W], written out."""
    return torch.stack([torch.cat(list(of_all)) for of_all in images.transpose(0, 1)])


def gradients(network: nn.Module) -> State:
    return {
        name: weight.grad for name, weight in network.named_parameters() if weight.grad is not None
    }


def sgd(network: nn.Module) -> torch.optim.SGD:
    return torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)


def momentum(network: nn.Module, optimizer: torch.optim.SGD) -> State:
    state = optimizer.state
    return {name: state[one]["momentum_buffer"] for name, one in network.named_parameters()}


def assert_near(found: State, expected: State, *, of_largest: float) -> None:
    """Every value, to within a fraction of its tensor's largest."""
    assert found.keys() == expected.keys()
    for name, right in expected.items():
        assert found[name].shape == right.shape, name
        difference = (found[name] - right).detach().abs().max()
        bound = of_largest * max(1e-3, float(right.detach().abs().max()))
        assert difference <= bound, f"{name}: {difference:.2e} is more than {bound:.2e}"


def compare_training(networks: list[ResNet], *, steps: int) -> None:
    """In float64: everything that a run has, step by step."""
    net, seeds = networks[0].architecture, len(networks)
    for network in networks:
        network.double()
    wide = Seeds(networks)
    alone, together = [sgd(network) for network in networks], sgd(wide)
    for step in range(steps):
        images, labels = draw(net, step, seeds=seeds)
        images = images.double()
        together.zero_grad()
        logits = wide(side_by_side(images))
        losses = losses_of_each(logits, labels)
        losses.sum().backward()
        each_gradients = wide.split(gradients(wide))
        together.step()
        states = wide.split(wide.state_dict())
        each_momentum = wide.split(momentum(wide, together))
        for seed, (network, optimizer) in enumerate(zip(networks, alone, strict=True)):
            optimizer.zero_grad()
            expected = network(images[seed])
            loss = cross_entropy(expected, labels[seed])
            loss.backward()
            optimizer.step()
            torch.testing.assert_close(logits[seed], expected, rtol=1e-10, atol=1e-10)
            torch.testing.assert_close(losses[seed], loss, rtol=1e-10, atol=1e-10)
            assert_near(each_gradients[seed], gradients(network), of_largest=1e-10)
            assert_near(states[seed], network.state_dict(), of_largest=1e-10)
            assert_near(each_momentum[seed], momentum(network, optimizer), of_largest=1e-10)


@pytest.mark.numerical
@pytest.mark.parametrize("net", NETS.values(), ids=NETS)
def test_each_seed_trains_as_alone(net: Architecture) -> None:
    """Had they shared memory with the networks, those would have been trained twice."""
    compare_training(different(net), steps=3)


@pytest.mark.numerical
def test_one_seed_is_the_plain_network() -> None:
    compare_training(different(RESNET8, seeds=1), steps=2)


@pytest.mark.numerical
def test_bn_groups_and_checkpointing_are_kept() -> None:
    networks = different(RESNET8)
    for network in networks:
        set_bn_groups(network, 2)
        network.set_activation_checkpointing(True)
    compare_training(networks, steps=2)
    assert Seeds(networks).get_submodule("layer1").activation_checkpointing


@pytest.mark.numerical
@pytest.mark.parametrize("device", ON_BOTH)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_in_low_precision_each_seed_is_near_itself_alone(device: str, dtype: torch.dtype) -> None:
    """A step's sums are of up to 400 products a channel and 10 layers deep: a hundred roundings,
    of 1e-7 in float32 and 4e-3 in bf16, where a gradient of the first layers is near its size.
    """
    networks = different(RESNET8, device=device)
    wide = Seeds(networks)
    images, labels = (part.to(device) for part in draw(RESNET8, 0))

    def computed(network: ResNet, pixels: Tensor) -> Tensor:
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        if dtype is torch.float32:
            return network(pixels)
        with torch.autocast(device, dtype):
            return CastOnce(network, dtype)(pixels).float()

    logits = computed(wide, side_by_side(images))
    losses_of_each(logits, labels).sum().backward()
    near = 100 * torch.finfo(dtype).eps
    for seed, network in enumerate(networks):
        expected = computed(network, images[seed])
        cross_entropy(expected, labels[seed]).backward()
        size = float(expected.detach().abs().max())
        torch.testing.assert_close(logits[seed], expected, rtol=0, atol=near / 10 * size)
        assert_near(wide.split(gradients(wide))[seed], gradients(network), of_largest=near)


@pytest.mark.parametrize("device", ON_BOTH)
@pytest.mark.parametrize(
    ("what", "dtype"),
    [
        ("images", torch.float64),
        ("images", torch.float32),
        ("weights", torch.float32),
        ("weights", torch.bfloat16),
    ],
)
def test_nan_stays_with_its_seed(device: str, what: str, dtype: torch.dtype) -> None:
    """The others' numbers are those of three sound seeds, and in float64 of the networks alone."""
    networks, exact = different(RESNET8, device=device), dtype is torch.float64
    near = 0.0 if device == "cpu" else 100 * torch.finfo(dtype).eps  # the order of its sums varies
    images, labels = (part.to(device) for part in draw(RESNET8, 0))
    if exact:
        images, networks = images.double(), [network.double() for network in networks]

    def trained(wide: Seeds) -> tuple[Tensor, list[State], list[State]]:
        """Losses, gradients and states after a step, of each."""
        pixels = side_by_side(images).contiguous(memory_format=torch.channels_last)
        with torch.autocast(device, torch.bfloat16, enabled=dtype is torch.bfloat16):
            logits = wide(pixels)
        losses = losses_of_each(logits.to(images.dtype), labels)
        losses.sum().backward()
        sgd(wide).step()
        return losses.detach(), wide.split(gradients(wide)), wide.split(wide.state_dict())

    sound, broken = trained(Seeds(networks)), Seeds(networks)
    if what == "images":
        images[1] = torch.nan
    else:
        broken.split(dict(broken.named_parameters()))[1]["layer1.0.conv1.weight"].fill_(torch.nan)
    losses, slopes, states = trained(broken)
    assert losses.isfinite().tolist() == [True, False, True]
    assert all(bool(one.isnan().any()) for one in slopes[1].values() if one.dim() > 1)
    for seed in (0, 2):
        torch.testing.assert_close(losses[seed], sound[0][seed], rtol=near, atol=near)
        assert_near(slopes[seed], sound[1][seed], of_largest=near)
        assert_near(states[seed], sound[2][seed], of_largest=near)
        if exact:
            cross_entropy(networks[seed](images[seed]), labels[seed]).backward()
            assert_near(slopes[seed], gradients(networks[seed]), of_largest=1e-10)


def test_optimizers_of_their_own_stop_one_seed_alone() -> None:
    """As TrainStep stops a run: the fused update is skipped where `found_inf` is 1."""
    networks = [network.double() for network in different(RESNET8, seeds=2)]
    wide, before = Seeds(networks), copy.deepcopy(networks[1].state_dict())
    weights = wide.split(dict(wide.named_parameters()))
    optimizers = [
        torch.optim.SGD(one.values(), lr=0.1, momentum=0.9, weight_decay=1e-3, fused=True)
        for one in weights
    ]
    alone = torch.optim.SGD(
        networks[0].parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3, fused=True
    )
    for step in range(3):
        images, labels = draw(RESNET8, step, seeds=2)
        images = images.double()
        images[1] = torch.inf
        wide.zero_grad()
        losses = losses_of_each(wide(side_by_side(images)), labels)
        losses.sum().backward()
        for own, slopes, loss, optimizer in zip(
            weights, wide.split(gradients(wide)), losses.detach(), optimizers, strict=True
        ):
            for name, weight in own.items():
                weight.grad = slopes[name]
            optimizer.found_inf = (~loss.isfinite()).float()  # type: ignore[attr-defined]
            optimizer.step()
        alone.zero_grad()
        cross_entropy(networks[0](images[0]), labels[0]).backward()
        alone.step()
    first, second = wide.split(dict(wide.named_parameters()))
    assert_near(first, dict(networks[0].named_parameters()), of_largest=1e-10)
    assert_same(second, {name: before[name] for name in second})


def test_what_is_split_can_be_put_together_again() -> None:
    """Counters of different runs, too; nothing is drawn at random on the way."""
    networks = different(RESNET8)
    for seed, network in enumerate(networks):
        torch._foreach_add_(bn_counters(network), 10 * seed + 1)
    drawn = torch.get_rng_state()
    wide = Seeds(networks)
    assert_same(torch.get_rng_state(), drawn)
    apart = wide.split(wide.state_dict())
    assert_same(apart, [dict(network.state_dict()) for network in networks])
    again = ResNet(RESNET8)
    again.load_state_dict(apart[2])
    assert_same(dict(again.state_dict()), dict(networks[2].state_dict()))
    assert_same(wide.join(apart), dict(wide.state_dict()))


@pytest.mark.numerical
def test_folded_for_testing_each_gives_its_own_logits() -> None:
    networks = [network.double().eval() for network in different(cifar(8, shortcut=Shortcut.B))]
    images = draw(RESNET8, 0)[0].double()
    logits = FoldedBN(Seeds(networks)).network(side_by_side(images))
    for seed, network in enumerate(networks):
        torch.testing.assert_close(logits[seed], network(images[seed]), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    "backend",
    [
        "eager",  # what is written for the compiler, without its code
        pytest.param(
            "inductor",
            marks=[
                pytest.mark.slow,
                pytest.mark.skipif(
                    missing_for_compiling() is not None,
                    reason="PyTorch's compiler needs g++ or clang++ and Python.h",
                ),
            ],
        ),
    ],
)
def test_it_compiles_as_a_whole(backend: str) -> None:
    net = replace(RESNET8, blocks=(1, 1), widths=(4, 8))
    networks = different(net, seeds=2)
    wide = Seeds(networks)
    images, labels = draw(net, 0, seeds=2)
    compiled = torch.compile(wide, backend=backend, fullgraph=True)
    losses_of_each(compiled(side_by_side(images)), labels).sum().backward()
    for seed, network in enumerate(networks):
        cross_entropy(network(images[seed]), labels[seed]).backward()
        assert_near(wide.split(gradients(wide))[seed], gradients(network), of_largest=1e-4)
        statistics = wide.split(dict(wide.named_buffers()))[seed]
        assert_near(statistics, dict(network.named_buffers()), of_largest=1e-4)


@pytest.mark.numerical
def test_losses_are_each_seeds_mean() -> None:
    logits, labels = torch.randn(3, 5, 10).double(), torch.randint(0, 10, (3, 5))
    for smoothing in (0.0, 0.1):
        found = losses_of_each(logits, labels, label_smoothing=smoothing)
        one_by_one = [
            cross_entropy(mine, right, label_smoothing=smoothing)
            for mine, right in zip(logits, labels, strict=True)
        ]
        torch.testing.assert_close(found, torch.stack(one_by_one))


def test_only_networks_of_one_architecture_become_one() -> None:
    other = replace(RESNET8, shortcut=Shortcut.B, num_classes=7)
    with pytest.raises(ValueError, match="that differ in shortcut, num_classes cannot become one"):
        Seeds([ResNet(RESNET8), ResNet(RESNET8), ResNet(other)])
    with pytest.raises(ValueError, match="at least one network"):
        Seeds([])

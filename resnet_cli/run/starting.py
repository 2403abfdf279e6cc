"""`weights=FILE`: a run that starts from what another one, or another project, has learned."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from resnet_cli.config.plain import from_plain
from resnet_cli.config.schema import RunConfig, architecture
from resnet_cli.evaluation.card import PIXEL_MEAN, read_card
from resnet_cli.evaluation.weights import load_weights, read, state_dict_of
from resnet_cli.models.architecture import Architecture, Block
from resnet_cli.models.comparison import AnyNetwork
from resnet_cli.models.resnet import Network
from resnet_cli.runtime.errors import UserError
from resnet_cli.training.checkpoint import is_ours, parse_content, resolve


@dataclass(frozen=True, kw_only=True)
class _Start:
    """What a file holds; `config` and `classes` are None where it does not say."""

    state: dict[str, Tensor]
    config: RunConfig | None = None
    classes: list[str] | None = None


def start_from(network: Network, file: Path, *, classes: Sequence[str]) -> str:
    """Copies the weights in `file` into the network, which is to tell `classes` apart.

    The head is left as it is where it is of another size or of other classes. Returns what was
    done, in words. Raises UserError for a file that is not of this network.
    """
    path = resolve(file)
    start = _open(path)
    net = network.architecture
    if start.config is not None:
        _validate_same_network(net, start.config, path=path)
    own, head_names = network.state_dict(), _head(network)
    told = f"starting from {path}"
    if (head := start.state.get(head_names[0])) is not None:
        there = len(head) if head.dim() else 0
        other = start.classes is not None and tuple(start.classes) != tuple(classes)
        if there != net.num_classes or other:
            start.state.update({name: own[name] for name in head_names})
            told += (
                f", all but its head: that tells {there:,}{' other' * other} classes apart; the "
                f"new one, for {net.num_classes:,}, begins with random weights"
            )
    load_weights(network, start.state, path=path, name=net.name)
    if start.config is None and isinstance(net, Architecture) and net.block is Block.bottleneck:
        told += (
            "; it does not say where its bottlenecks have their stride, here in the "
            f"{net.stride_in} (torchvision's have it in the 3x3: model.stride_in=3x3)"
        )
    return told


def _head(network: nn.Module) -> tuple[str, str]:
    """The names of the last layer's weight and bias: `fc.weight`, or `classifier.6.weight`."""
    *_, last = (name for name, layer in network.named_modules() if isinstance(layer, nn.Linear))
    return f"{last}.weight", f"{last}.bias"


def _open(path: Path) -> _Start:
    """Raises UserError for what holds no weights."""
    content = read(path)
    if is_ours(content):
        saved = parse_content(content, path=path)
        return _Start(
            state=saved.evaluated, config=_config(saved.config, path), classes=saved.classes
        )
    state = dict(content) if isinstance(content, dict) else {}
    if (card := read_card(path)) is not None:
        state.pop(PIXEL_MEAN, None)
        config = _config({**card.config, "dataset": {"root": "", **card.config["dataset"]}}, path)
        return _Start(state=state_dict_of(state, path), config=config, classes=card.classes)
    return _Start(state=state_dict_of(content, path))


def _config(tree: object, path: Path) -> RunConfig:
    try:
        return from_plain(tree)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} was written by another version of resnet-train ({error})"
        ) from error


def _validate_same_network(net: AnyNetwork, config: RunConfig, *, path: Path) -> None:
    """A plain network's weights would fit a residual one's: shortcuts of kind A have none.

    Raises UserError.
    """
    theirs = architecture(config, num_classes=net.num_classes)
    if theirs != net:
        differs = "" if theirs.name != net.name else " of another kind"
        raise UserError(f"weights={path}: they are of {theirs.name}{differs}, not of {net.name}")

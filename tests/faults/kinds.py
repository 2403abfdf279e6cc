"""The kinds of files that are read: a sound one, how it is broken, and the door it comes in by."""

import dataclasses
import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from resnet_cli.analysis.publish import export_subject
from resnet_cli.analysis.responses import of_run
from resnet_cli.analysis.subject import build_network, open_subject
from resnet_cli.analysis.trained import parse_config, parse_published
from resnet_cli.config.plain import from_plain
from resnet_cli.config.schema import RunConfig
from resnet_cli.data.imagenet import open_folders
from resnet_cli.data.index import index_path
from resnet_cli.evaluation import predictions
from resnet_cli.evaluation.card import Measured, card_header, read_card, split_mean
from resnet_cli.evaluation.weights import read, state_dict_of
from resnet_cli.paper.responses import Responses
from resnet_cli.run.folder import RunFolder
from resnet_cli.runtime.errors import UserError
from resnet_cli.training import checkpoint
from resnet_cli.training.checkpoint import make_normalizer
from resnet_cli.training.metrics import read_metrics
from tests.data import trees
from tests.faults.mutations import (
    Draw,
    at,
    mutated_bytes,
    mutated_tensor,
    mutated_text,
    mutated_tree,
    paths,
)
from tests.training.checkpoints import small_optimizer

OLD_RUNS = Path(__file__).parent.parent / "old_runs" / "runs"


@dataclass(frozen=True)
class Kind:
    """`make` writes a sound file into a folder; `break_it` another like it; `read` opens it as the
    commands do and raises UserError, or checks what it was given.
    """

    make: Callable[[Path], Path]
    break_it: Callable[[Draw, Path], None]
    read: Callable[[Path], None]


def stopped_run() -> Path:
    """A recorded run with a checkpoint."""
    (folder,) = OLD_RUNS.rglob("seed1")
    return folder


def finished_run() -> Path:
    """A recorded run with a result."""
    (folder,) = (path.parent for path in (OLD_RUNS / "synthetic").rglob("result.json"))
    return folder


def copied(source: Callable[[], Path], name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / Path(name).name
        path.write_bytes((source() / name).read_bytes())
        return path

    return make


def break_bytes(draw: Draw, path: Path) -> None:
    path.write_bytes(mutated_bytes(draw, path.read_bytes()))


def break_json(draw: Draw, path: Path) -> None:
    text = path.read_text()
    if draw(st.integers(0, 4)) == 0:
        path.write_bytes(mutated_text(draw, text).encode())
    else:
        path.write_text(json.dumps(mutated_tree(draw, json.loads(text)), indent=2))


def break_yaml(draw: Draw, path: Path) -> None:
    text = path.read_text()
    if draw(st.integers(0, 4)) == 0:
        path.write_bytes(mutated_text(draw, text).encode())
    else:
        path.write_text(yaml.safe_dump(mutated_tree(draw, yaml.safe_load(text))))


# Checkpoints


def break_checkpoint(draw: Draw, path: Path) -> None:
    content = torch.load(path, weights_only=True)
    way = draw(st.sampled_from(["bytes", "tree", "tree", "tensor", "tensor"]))
    if way == "bytes":
        break_bytes(draw, path)
    elif way == "tree":
        torch.save(mutated_tree(draw, content), path)
    else:
        tensors = [
            where for where in paths(content) if isinstance(at(content, where), torch.Tensor)
        ]
        where = draw(st.sampled_from(tensors))
        at(content, where[:-1])[where[-1]] = mutated_tensor(draw, at(content, where))
        torch.save(content, path)


def read_checkpoint(path: Path) -> None:
    """As resuming does, to the first step; then as measuring does."""
    recorded = checkpoint.load(stopped_run() / "checkpoints" / "last.pt")
    network = build_network(path, from_plain(recorded.config), recorded.network)
    saved = checkpoint.load(path)
    config = parse_config(saved.config, path=path)
    checkpoint.validate_fits(saved, network, path=path, name=network.architecture.name)
    optimizer = small_optimizer(network)
    checkpoint.restore_momentum(saved, optimizer)
    network.load_state_dict(saved.network)
    network.train()(torch.zeros(2, 3, 32, 32)).sum().backward()
    optimizer.step()
    make_normalizer(saved.normalizer.mean, saved.normalizer.std)
    build_network(path, config, saved.network)
    assert saved.progress.iteration >= 0


# Weights


def make_weights(folder: Path) -> Path:
    """A file with a card."""
    measured = Measured(
        top1_error=90.0,
        top5_error=52.0,
        loss=2.5,
        count=150,
        dataset="synthetic",
        split="test",
        views="single",
        bn="running averages",
        precision="fp32",
        device="CPU",
    )
    path = folder / "x.safetensors"
    export_subject(open_subject(stopped_run(), []), path, measured=measured)
    return path


def break_weights(draw: Draw, path: Path) -> None:
    card, tensors = read_card(path), load_file(path)
    assert card is not None
    header = card_header(card)
    way = draw(st.sampled_from(["bytes", "header", "header", "tensor"]))
    if way == "bytes":
        break_bytes(draw, path)
        return
    if way == "header":
        text = header["resnet_cli"]
        broken = draw(st.booleans())
        tree = json.loads(text)
        header = {
            "resnet_cli": mutated_text(draw, text)[:100_000]
            if broken
            else json.dumps(mutated_tree(draw, tree))
        }
    else:
        name = draw(st.sampled_from(sorted(tensors)))
        changed = mutated_tensor(draw, tensors[name])
        plain = changed.layout is torch.strided and changed.device.type == "cpu"
        if plain and changed.numel() < 10**6:  # what the format can hold at all
            tensors[name] = changed.contiguous().clone()
    save_file(tensors, path, metadata=header)


def read_weights(path: Path) -> None:
    content = read(path)
    if (card := read_card(path)) is None:
        state_dict_of(content, path)
        return
    config = parse_published(card.config, path=path)
    try:
        make_normalizer(*split_mean(card, content, path=path))
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error
    build_network(path, config, state_dict_of(content, path))


def make_foreign(folder: Path) -> Path:
    path = folder / "x.pth"
    network = checkpoint.load(stopped_run() / "checkpoints" / "last.pt").network
    torch.save({"state_dict": network, "epoch": 3}, path)
    return path


def read_foreign(path: Path) -> None:
    recorded = checkpoint.load(stopped_run() / "checkpoints" / "last.pt")
    build_network(path, from_plain(recorded.config), state_dict_of(read(path), path))


def break_foreign(draw: Draw, path: Path) -> None:
    break_checkpoint(draw, path)


# Records of a run


def read_config(path: Path) -> None:
    config: RunConfig = from_plain(yaml.safe_load((stopped_run() / "config.yaml").read_text()))
    RunFolder(path.parent).validate_same_config(config)


def read_result(path: Path) -> None:
    result = RunFolder(path.parent).read_result()
    assert result is not None
    json.dumps(result.to_plain(), allow_nan=False)


def read_data(path: Path) -> None:
    RunFolder(path.parent).read_data()


def break_metrics(draw: Draw, path: Path) -> None:
    lines = path.read_text().splitlines()
    number = draw(st.integers(0, len(lines) - 1))
    if draw(st.booleans()):
        lines[number] = mutated_text(draw, lines[number])
    else:
        lines[number] = json.dumps(mutated_tree(draw, json.loads(lines[number])))
    path.write_bytes("\n".join(lines).encode())


def read_log(path: Path) -> None:
    """What cannot be read is passed over, so that every line which is left can be drawn."""
    count = len(path.read_text().splitlines())
    lines, broken = read_metrics(path)
    assert len(lines) + broken == count and broken <= 2
    for line in lines:
        assert type(line["iteration"]) is int and line["iteration"] >= 0
        json.dumps(line, allow_nan=False)
        assert all(abs(float(value)) < 1e308 for value in line.values())


def make_responses(folder: Path) -> Path:
    path = folder / "responses.json"
    kept = Responses(layers=["conv1", "layer1.0.conv1"], std=[0.5, 0.25], images=100, iteration=4)
    path.write_text(json.dumps(dataclasses.asdict(kept)))
    return path


def read_responses(path: Path) -> None:
    found = of_run(path.parent, network="resnet8-A", root="data")
    assert len(found.layers) == len(found.std)


# Predictions


def make_predictions(folder: Path) -> Path:
    scores = torch.randn(6, 10, generator=torch.Generator().manual_seed(0)).softmax(dim=1)
    about = {"network": "resnet20-A", "checkpoints": ["a"], "scales": [224], "classes": 10}
    kept = predictions.Predictions(scores, torch.arange(6), tuple("abcdef"), about)
    predictions.write(kept, folder / "x.npz")
    return folder / "x.npz"


def break_arrays(draw: Draw, path: Path) -> None:
    if draw(st.booleans()):
        break_bytes(draw, path)
        return
    with np.load(path) as file:
        arrays: dict[str, Any] = {name: file[name] for name in file.files}
    name = draw(st.sampled_from(sorted(arrays)))
    array = arrays[name]
    way = draw(
        st.sampled_from(["drop", "about", "less", "type", "flat", "negative", "huge", "nan"])
    )
    if way == "drop":
        del arrays[name]
    elif way == "about":
        is_text = arrays["about"].dtype.kind == "U"  # in predictions; bytes in an index
        text = str(arrays["about"]) if is_text else arrays["about"].tobytes().decode()
        if draw(st.booleans()):
            text = json.dumps(mutated_tree(draw, json.loads(text)))
        else:
            text = mutated_text(draw, text)
        arrays["about"] = np.array(text) if is_text else np.frombuffer(text.encode(), np.uint8)
    elif way == "less":
        arrays[name] = array[..., :-1] if array.ndim else array
    elif way == "type":
        arrays[name] = array.astype(object).astype(str) if array.dtype.kind != "U" else array.shape
    elif way == "flat":
        arrays[name] = array.reshape(-1, 1)
    elif array.dtype.kind in "if":
        numbers = {
            "negative": -5,
            "huge": 2**31 - 1,
            "nan": np.nan if array.dtype.kind == "f" else -2,
        }
        changed = array.copy()
        changed.reshape(-1)[:1] = np.array(numbers[way]).astype(array.dtype)
        arrays[name] = changed
    np.savez(path, **arrays)


def read_predictions(path: Path) -> None:
    kept = predictions.average([path, path])
    assert predictions.errors(kept).count == len(kept.labels)


# Photographs


def make_index(folder: Path) -> Path:
    """The index of a folder of photographs, in the caches of this test."""
    root = trees.write_shards(folder / "images")
    open_folders(root)
    return index_path(root)


def read_index(path: Path) -> None:
    """A broken index is made anew, or tells that a tar changed; no label or stretch of bytes lies
    beyond what there is.
    """
    (root,) = (each / "images" for each in path.parents if (each / "images").is_dir())
    found = open_folders(root)
    read_all(found.train)
    assert found.train.labels.max() < len(found.classes)


def read_all(samples: Any) -> None:
    for index in range(len(samples)):
        samples.read(index)
        samples.path(index)


def make_shard(folder: Path) -> Path:
    return trees.write_shards(folder / "images") / "train-000000.tar"


def break_shard(draw: Draw, path: Path) -> None:
    """Bytes anywhere, or a field of a header with the checksum that belongs to it."""
    content = bytearray(path.read_bytes())
    if draw(st.booleans()):
        path.write_bytes(mutated_bytes(draw, bytes(content)))
        return
    with tarfile.open(fileobj=io.BytesIO(bytes(content))) as tar:
        starts = [entry.offset for entry in tar]
    start = draw(st.sampled_from(starts))
    field = draw(st.sampled_from([(0, 100), (124, 136), (156, 157), (257, 265), (345, 500)]))
    length = field[1] - field[0]
    value = draw(
        st.one_of(
            st.binary(min_size=length, max_size=length),
            st.sampled_from(
                [b"\x80" + b"\xff" * 11, b"\xff" * 12, b"-00000000001", b"77777777777\0"]
            ),
            st.sampled_from([b"L", b"x", b"g", b"S", b"5", b"2", b"1", b"K"]),
        )
    )
    content[start + field[0] : start + field[0] + len(value)] = value
    content[start + 148 : start + 156] = b" " * 8
    total = sum(content[start : start + 512])
    content[start + 148 : start + 156] = f"{total:06o}\0 ".encode()
    path.write_bytes(content)


def read_shard(path: Path) -> None:
    found = open_folders(path.parent, reindex=True)
    read_all(found.train)


KINDS = {
    "checkpoint": Kind(
        copied(stopped_run, "checkpoints/last.pt"), break_checkpoint, read_checkpoint
    ),
    "weights with a card": Kind(make_weights, break_weights, read_weights),
    "foreign weights": Kind(make_foreign, break_foreign, read_foreign),
    "config.yaml": Kind(copied(stopped_run, "config.yaml"), break_yaml, read_config),
    "result.json": Kind(copied(finished_run, "result.json"), break_json, read_result),
    "data.json": Kind(copied(finished_run, "data.json"), break_json, read_data),
    "metrics.jsonl": Kind(copied(finished_run, "metrics.jsonl"), break_metrics, read_log),
    "responses.json": Kind(make_responses, break_json, read_responses),
    "predictions": Kind(make_predictions, break_arrays, read_predictions),
    "index": Kind(make_index, break_arrays, read_index),
    "shard": Kind(make_shard, break_shard, read_shard),
}

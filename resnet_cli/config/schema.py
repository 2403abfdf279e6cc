"""The keys of the command line: what Hydra composes, and what a run is made of."""

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from resnet_cli.data.choices import Augmentation, DatasetName, Normalization, OnError
from resnet_cli.models.architecture import (
    Activation,
    Block,
    Family,
    Shortcut,
    Stem,
    StrideIn,
    ZeroPadding,
)
from resnet_cli.models.comparison import AnyNetwork
from resnet_cli.models.families import make_architecture
from resnet_cli.runtime.choices import DeviceChoice, Precision, Switch
from resnet_cli.training.schedule import Rule

MISSING: Any = "???"  # OmegaConf's word for "must be set"


def key(default: Any, about: str, *, bookkeeping: bool = False, words: Iterable[str] = ()) -> Any:
    """A key of the command line: its value by default, and `about` it in a sentence.

    `bookkeeping` says where and how a run happens, not what is trained: such a key may change from
    one start of a run to the next, and runs that differ in it alone are the same run. `words` are
    values to offer where the type tells none.
    """
    metadata = {"about": about, "bookkeeping": bookkeeping, "words": tuple(words)}
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(kw_only=True)
class ModelConfig:
    """The network: one of section 4.2, of Table 1, or of those who built on them."""

    family: Family = key(
        Family.cifar,
        "cifar (section 4.2), imagenet (Table 1), wide (Wide ResNet), or to compare with: alexnet, "
        "vgg, googlenet, densenet",
    )
    depth: int = key(
        MISSING,
        "layers with weights: 6n+2 for cifar (9n+2 with bottlenecks), 6n+4 for wide; 18, 34, 50, "
        "101 or 152 for imagenet",
    )
    stem: Stem | None = key(None, "the layers before the first stage; null: the family's own")
    stride_in: str = key(
        StrideIn.first.value,
        "the convolution of a bottleneck that has the stride: 1x1 (the paper's) or 3x3",
        words=StrideIn,
    )
    groups: int = key(1, "groups of a bottleneck's 3x3: ResNeXt's cardinality")
    width_per_group: int = key(64, "a bottleneck's width per group: ResNeXt's and Wide ResNet's")
    zero_padding: ZeroPadding = key(
        ZeroPadding.after,
        "where shortcut A pads its zeros: after (behind the old channels) or both (half on each "
        "side, as akamaster's networks)",
    )
    block: Block | None = key(None, "of cifar: basic or bottleneck; null: the family's own")
    activation: Activation = key(
        Activation.post,
        "of cifar and wide: BN and ReLU behind each convolution (post, the paper's) or before it "
        "(pre: He et al. 2016)",
    )
    layers_per_block: int = key(
        2, "of cifar's basic blocks: how many layers a shortcut spans, 1 to 4"
    )
    widen: int = key(1, "of wide: how many times as wide as section 4.2's networks")
    batch_norm: bool = key(False, "of vgg: BN behind each convolution")
    num_classes: int | None = key(None, "outputs of the network; null: as many as the data has")


@dataclass(kw_only=True)
class DatasetConfig:
    """The images, and how they are shown."""

    name: DatasetName = key(MISSING, "follows from dataset=")
    root: str = key(
        MISSING,
        "the folder that holds cifar-10-batches-py/ or cifar-100-python/, classes of photographs,"
        " or ImageNet's tars",
        bookkeeping=True,
    )
    download: bool = key(False, "fetch CIFAR-10 or CIFAR-100 where it is missing", bookkeeping=True)
    mirror: str = key("", "where to fetch it from", bookkeeping=True)
    coarse: bool = key(False, "CIFAR-100's 20 superclasses in place of its 100 classes")
    label: str = key(
        "",
        "what photographs are called in paths and reports; by default as their folder",
        bookkeeping=True,
    )
    validation: int | float = key(
        0,
        "training images held out, a count or a share below 1; the paper's 45k/5k split is 5000; of"
        " photographs without val/, 0 is a fifth",
    )
    split_seed: int = key(0, "which photographs are held out where there is no val/")
    normalization: Normalization = key(
        Normalization.paper, "what is subtracted from the pixels: paper, cifar or imagenet"
    )
    augmentation: Augmentation = key(
        Augmentation.paper, "how training crops are chosen: paper, or inception for photographs"
    )
    image_size: int | None = key(None, "side of the training crops of photographs, in pixels")
    num_classes: int | None = key(
        None, "the number of classes there must be; null: any", bookkeeping=True
    )
    train_images: int | None = key(None, "use only so many training images; null: all")
    test_images: int | None = key(None, "use only so many test images; null: all")
    workers: int | None = key(
        None, "processes that decode photographs; null: as the device needs", bookkeeping=True
    )
    on_error: OnError = key(
        OnError.stop, "at a photograph that cannot be decoded: stop or skip", bookkeeping=True
    )
    max_skipped: int = key(
        100, "with on_error=skip, the most that each process skips", bookkeeping=True
    )
    reindex: bool = key(False, "look at every file of the folder anew", bookkeeping=True)


@dataclass(kw_only=True)
class OptimizerConfig:
    """SGD; weight decay on everything that is learned, as in Caffe."""

    lr: float = key(MISSING, "the learning rate at the start (after a warm-up, if there is one)")
    momentum: float = key(MISSING, "momentum")
    weight_decay: float = key(MISSING, "weight decay, on biases and BN too")
    nesterov: bool = key(False, "Nesterov momentum")


@dataclass(kw_only=True)
class ScheduleConfig:
    """When the learning rate falls.

    Milestones are fractions of `iterations`, so a shorter run is the same recipe.
    """

    iterations: int = key(MISSING, "steps of the whole schedule")
    rule: Rule = key(Rule.steps, "what makes the rate fall: steps (milestones), plateau or cosine")
    gamma: float = key(MISSING, "the factor by which it falls")
    milestones: list[float] = key([], "rule=steps: where, as fractions of the iterations")
    patience: int = key(10, "rule=plateau: evaluations without progress before it falls")
    progress: float = key(0.1, "rule=plateau: the least progress, in percentage points of error")
    drops: int = key(3, "rule=plateau: how often it falls at most")
    warmup_lr: float | None = key(None, "the rate of a warm-up; null: no warm-up")
    linear_warmup: float = key(
        0.0, "the fraction of the iterations in which the rate rises from near 0; 0: none"
    )
    warmup_until_error: float = key(
        80.0, "the warm-up ends once the training error of 100 iterations is below this, in percent"
    )


@dataclass(kw_only=True)
class WrittenScheduleConfig(ScheduleConfig):
    """When the learning rate falls, and how long the run is: in iterations or in epochs."""

    epochs: float | None = key(
        None, "the length in epochs, in place of iterations", bookkeeping=True
    )


@dataclass(kw_only=True)
class Settings:
    """The keys that are the same for what the user wrote and for what will be run."""

    model: ModelConfig = field(default_factory=ModelConfig)
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    shortcut: Shortcut = key(MISSING, "none (a plain network), A, B or C (section 3.3)")
    weights: str = key(
        "", "a file of weights to start from, any that resnet-eval reads; none: random weights"
    )
    seed: int = key(0, "of the initial weights, the order of the images and their augmentation")
    batch_size: int = key(128, "images a step, over all devices")
    bn_batch: int | None = key(
        None,
        "images that BN normalizes together (ghost batch norm); null: a device's share",
    )
    label_smoothing: float = key(
        0.0, "the share of each target that is spread over all classes; 0: none, as in the paper"
    )
    ema: float = key(
        0.0,
        "the decay of a moving average of the weights, which is what is evaluated; 0: none, as in "
        "the paper",
    )
    sync_bn: bool = key(False, "BN over the whole batch, across devices", bookkeeping=True)
    device: DeviceChoice = key(
        DeviceChoice.auto, "auto, cpu, cuda or mps (Apple's GPUs)", bookkeeping=True
    )
    max_restarts: int = key(
        3,
        "how often the processes of a run start anew from its last checkpoint when one is lost",
        bookkeeping=True,
    )
    timeout: float = key(
        600.0, "seconds a process waits for the others before it gives up", bookkeeping=True
    )
    precision: Precision = key(Precision.auto, "auto, fp32, bf16 or fp16")
    compile: Switch = key(Switch.auto, "PyTorch's compiler: auto (where it pays), on or off")
    cuda_graph: Switch = key(
        Switch.auto,
        "a whole step as one launch: auto (where possible), on or off",
        bookkeeping=True,
    )
    fused_blocks: bool = key(
        False,
        "on CUDA, section 4.2's basic blocks as fused Triton kernels: fewer launches, sums in"
        " another order",
    )
    activation_checkpointing: bool = key(
        False,
        "keep only the maps between blocks and compute the rest again: a fraction of the memory for"
        " a third more time, the same numbers",
        bookkeeping=True,
    )
    resume: str = key(
        "auto",
        "auto (from the run's own last checkpoint), never, or a checkpoint file or run folder",
        bookkeeping=True,
        words=("auto", "never"),
    )
    runs: str = key("runs", "the folder that run folders are made in", bookkeeping=True)
    wandb: str = key(
        "", "a project of Weights & Biases that the curves also go to; none: no", bookkeeping=True
    )
    mlflow: str = key(
        "", "an experiment of MLflow that the curves also go to; none: no", bookkeeping=True
    )
    log_every: int = key(100, "iterations between log points", bookkeeping=True)
    eval_every: int = key(500, "iterations between evaluations", bookkeeping=True)
    checkpoint_every: int = key(1000, "iterations between checkpoints", bookkeeping=True)
    keep_checkpoints: list[int] = key(
        [], "iterations whose checkpoints stay, as iteration-N.pt", bookkeeping=True
    )


@dataclass(kw_only=True)
class Config(Settings):
    """What the user wrote. Field names are the keys of the command line."""

    schedule: WrittenScheduleConfig = field(default_factory=WrittenScheduleConfig)
    scale: float = key(
        1.0,
        "the whole schedule by this factor: 0.0625 of 64,000 iterations is a run of 4,000",
        bookkeeping=True,
    )
    devices: int | str = key(
        1,
        "processes that share each batch: a number, or auto (all GPUs)",
        bookkeeping=True,
        words=("auto",),
    )
    dry_run: bool = key(False, "show the plan, time a few steps, write nothing", bookkeeping=True)
    jobs_per_device: int | None = key(
        None,
        "with hydra/launcher=local: runs at a time on each GPU, or on the CPU; null: 1, or half as"
        " many as there are cores",
        bookkeeping=True,
    )


@dataclass(kw_only=True)
class RunConfig(Settings):
    """What will be run: the schedule scaled, the batch shared out among a number of devices.

    `validate.resolve` makes it from a `Config`; run folders and checkpoints hold it.
    """

    devices: int = key(1, "processes that share each batch", bookkeeping=True)


def fields_of(kind: Any, prefix: str = "") -> Iterator[tuple[str, dataclasses.Field[Any]]]:
    """Every key of a config type with its field: `model.depth`, `shortcut`, ..."""
    for one in dataclasses.fields(kind):
        if dataclasses.is_dataclass(one.type):
            yield from fields_of(one.type, f"{prefix}{one.name}.")
        else:
            yield f"{prefix}{one.name}", one


BOOKKEEPING = {name for name, one in fields_of(Config) if one.metadata["bookkeeping"]}


def architecture(config: Settings, *, num_classes: int) -> AnyNetwork:
    """The network of a run. Raises ValueError naming the key that does not fit."""
    asked = {one.name: getattr(config.model, one.name) for one in dataclasses.fields(ModelConfig)}
    data = config.dataset
    image_size = data.image_size if data.name is DatasetName.imagenet else 32
    return make_architecture(
        **asked
        | {"shortcut": config.shortcut, "num_classes": num_classes, "image_size": image_size}
    )

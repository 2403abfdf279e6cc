"""One step of SGD: batch, forward, loss, backward, update, count.

Nothing here waits for the device.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from resnet_cli.models.resnet import ResNet
from resnet_cli.runtime.compile import start_compiling
from resnet_cli.runtime.cuda_graph import CapturedGraph
from resnet_cli.runtime.device import autocast
from resnet_cli.runtime.distributed import Context


def make_optimizer(
    network: nn.Module, *, lr: float, momentum: float, weight_decay: float, nesterov: bool
) -> torch.optim.SGD:
    """Momentum SGD over everything learned, weight decay on all of it, BN and biases included
    (sections 3.4 and 4.2).

    The learning rate is a tensor beside the weights, so that a schedule changes it without waiting
    for the device.
    """
    device = next(network.parameters()).device
    rate = torch.tensor(lr, device=device)
    optimizer = torch.optim.SGD(
        network.parameters(),
        rate,
        momentum,
        weight_decay=weight_decay,
        nesterov=nesterov,
        fused=True,
    )
    # else a first step that is skipped would leave them unset
    for weight in network.parameters() if momentum else ():
        optimizer.state[weight]["momentum_buffer"] = torch.zeros_like(weight)
    return optimizer


Prepare = Callable[..., tuple[Tensor, Tensor]]


def as_they_are(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    return images, labels


class TrainStep:
    """Trains `network` one batch a call and counts on the device what happened.

    `prepare` makes images [N, 3, H, W] float32 and labels [N] int64 of what the step is called with
    (see data/loader.py), so that augmentation can be compiled and captured with the rest.

    A loss that is not finite never reaches the weights: from then on the fused optimizer skips
    every update (`found_inf`), and `read` tells at which step, the next time the host asks. In fp16
    the loss scaler skips the bad step alone.
    """

    def __init__(
        self,
        network: ResNet,
        optimizer: torch.optim.SGD,
        *,
        dtype: torch.dtype,
        compiled: bool,
        prepare: Prepare = as_they_are,
        capture: Callable[..., CapturedGraph] | None = None,
        context: Context | None = None,
    ) -> None:
        """`capture`: makes one replayed graph of a step, where there is a device for it."""
        self.network, self.optimizer, self.dtype = network, optimizer, dtype
        self.context = context or Context()
        self.forward: Callable[[Tensor], Tensor] = self.context.replicate(network)
        self.prepare = prepare
        self.device = next(network.parameters()).device
        if compiled:
            start_compiling()
            self.forward = torch.compile(self.forward)
            # on a CPU it would draw an image's crop anew for every pixel of it
            if self.device.type == "cuda":
                self.prepare = torch.compile(prepare)
        self.lr: float | None = None  # what the device has
        self.ddp_primed = self.context.world == 1
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=dtype is torch.float16)
        # loss, wrong images, good steps
        self.totals = torch.zeros(3, dtype=torch.float64, device=self.device)
        # 1.0 after the first loss that is not finite
        self.nonfinite = torch.zeros((), device=self.device)
        self.captured = capture is not None
        self.train: Callable[..., None] = (
            capture(self.train_on, state=self.state) if capture else self.train_on
        )

    def __call__(self, *drawn: Tensor, lr: float) -> None:
        """One step on this rank's part of a batch, which `prepare` makes of `drawn`."""
        if not self.ddp_primed:
            self.prime_ddp(*drawn)
        if lr != self.lr:
            self.optimizer.param_groups[0]["lr"].fill_(lr)
            self.lr = lr
        self.train(*drawn)

    def train_on(self, *drawn: Tensor) -> None:
        """All of a step that happens on the device."""
        self.optimizer.zero_grad()  # what a recording that broke off may have left
        images, labels = self.prepare(*drawn)
        logits, loss = self.loss(images, labels)
        with torch.no_grad():
            self.nonfinite.copy_(torch.maximum(self.nonfinite, (~loss.isfinite()).float()))
            self.context.all_reduce_max(
                self.nonfinite
            )  # one rank's loss is in every rank's gradients
        self.optimizer.found_inf = self.nonfinite  # type: ignore[attr-defined]  # read by the fused kernel
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        self.count(loss.detach(), logits.detach(), labels)

    def loss(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [N, classes], and the mean cross-entropy in nats."""
        with autocast(self.device, self.dtype):
            logits = self.forward(images)
        return logits, cross_entropy(logits.float(), labels)

    def state(self) -> Iterator[Tensor]:
        """Every tensor that a step changes."""
        yield from self.network.parameters()
        yield from self.network.buffers()
        yield from (
            kept["momentum_buffer"]
            for kept in self.optimizer.state.values()
            if kept.get("momentum_buffer") is not None
        )
        yield from (self.totals, self.nonfinite)

    def prime_ddp(self, *drawn: Tensor) -> None:
        """Two passes that leave no trace. DDP orders the gradients anew after its first, and with
        it their sums' roundings:

        without these a resumed run would take one step in another order than the run that was never
        stopped.
        """
        buffers = [buffer.clone() for buffer in self.network.buffers()]
        for _ in range(2):
            self.loss(*self.prepare(*drawn))[1].backward()
            self.optimizer.zero_grad()
        for buffer, before in zip(self.network.buffers(), buffers, strict=True):
            buffer.copy_(before)
        self.ddp_primed = True

    @torch.no_grad()
    def count(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Adds this batch to the totals, unless the run is broken."""
        wrong = (logits.argmax(dim=1) != labels).sum()
        now = torch.stack(
            [
                loss.double() * len(labels),
                wrong.double(),
                torch.ones_like(loss, dtype=torch.float64),
            ]
        )
        self.totals += torch.where(self.nonfinite > 0, torch.zeros_like(now), now)

    def read_totals(self) -> tuple[float, int, int | None]:
        """Waits for the device: loss summed over images, wrong images, and how many steps went well
        before the first bad loss, if any.

        Over all ranks, whose totals stay in `every_total` [world, 3].
        """
        self.every_total = self.context.gather(self.totals)
        loss, wrong, good, broken = torch.cat(
            [self.every_total.sum(dim=0), self.nonfinite.double()[None]]
        ).tolist()
        return loss, int(wrong), round(good / self.context.world) if broken else None

    def restore_totals(self, every: Tensor) -> None:
        """Takes up the totals of a checkpoint, each rank its own; of another number of ranks,
        the first takes all.
        """
        every, world = every.reshape(-1, 3), self.context.world
        if len(every) != world:
            first = every.sum(dim=0)
            first[2] *= world / len(every)  # each rank counts its good steps
            every = torch.cat([first[None], torch.zeros(world - 1, 3, dtype=every.dtype)])
        self.totals.copy_(every[self.context.rank])

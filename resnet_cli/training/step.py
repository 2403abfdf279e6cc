"""One step of SGD: batch, forward, loss, backward, update, count.

Only `TrainStep.read_totals` waits for the device.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from resnet_cli.models.layers import bn_counters
from resnet_cli.models.resnet import Network
from resnet_cli.runtime.compile import start_compiling
from resnet_cli.runtime.cuda_graph import CapturedGraph
from resnet_cli.runtime.device import autocast, is_limited
from resnet_cli.runtime.distributed import Context
from resnet_cli.runtime.signals import held_back
from resnet_cli.training.casting import CastOnce
from resnet_cli.training.ema import Ema

_LOSS_UNIT = 2.0**-20  # nats: what losses are rounded to where they are summed in int64
_LIMITED_UNITS = torch.tensor([_LOSS_UNIT, 1, 1], dtype=torch.float64)


def make_optimizer(
    network: nn.Module, *, lr: float, momentum: float, weight_decay: float, nesterov: bool
) -> torch.optim.SGD:
    """SGD with momentum, weight decay on all parameters, those of BN and biases included.

    As in sections 3.4 and 4.2. The learning rate is a tensor on the device of the weights, so that
    a schedule can change it without waiting for the device.
    """
    device = next(network.parameters()).device
    rate = torch.tensor(lr, device=device)
    optimizer = torch.optim.SGD(
        network.parameters(),
        lr=rate,
        momentum=momentum,
        weight_decay=weight_decay,
        nesterov=nesterov,
        fused=not is_limited(device),
    )
    # created here, since a skipped first step would not
    for weight in network.parameters() if momentum else ():
        optimizer.state[weight]["momentum_buffer"] = torch.zeros_like(weight)
    return optimizer


_Prepare = Callable[..., tuple[Tensor, Tensor]]


def _unchanged(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    return images, labels


class TrainStep:
    """Trains `network` by one batch per call, and counts loss and errors on the device.

    `prepare` turns what the step is called with into images float32 [N, 3, H, W] and labels int64
    [N] (see data/loader.py), so that augmentation can be compiled and captured with the rest.

    If the loss becomes NaN or infinite, training stops before the weights are updated: from that
    step on the fused optimizer skips every update (`found_inf`), and `read_totals` tells which step
    it was. In fp16 the loss scaler skips only the bad step. On mps, whose SGD cannot skip, the host
    waits for each loss, and sums are of whole numbers: that device has no float64.
    """

    def __init__(
        self,
        network: Network,
        optimizer: torch.optim.SGD,
        *,
        dtype: torch.dtype,
        compiled: bool,
        prepare: _Prepare = _unchanged,
        capture: Callable[..., CapturedGraph] | None = None,
        context: Context | None = None,
        label_smoothing: float = 0.0,
        ema: Ema | None = None,
        through: nn.Module | None = None,
    ) -> None:
        """`capture`: turns a step into a CUDA graph, on a device that has them. `ema`: the average
        that a step updates at its end; whoever calls the step tells it the iteration. `through`:
        another way to compute the network, of the same parameters.
        """
        self.network, self.optimizer, self.dtype = network, optimizer, dtype
        self.label_smoothing, self.ema = label_smoothing, ema
        self.context, self.through = context or Context(), through
        computed = through or network
        if dtype is not torch.float32:
            computed = CastOnce(computed, dtype)
        self.forward: Callable[[Tensor], Tensor] = self.context.replicate(computed)
        self.prepare = prepare
        self.device = next(network.parameters()).device
        self.compiled = compiled
        # no signal reaches the compiler, which any step may start
        self.shielded: Callable[[], AbstractContextManager[None]] = (
            held_back if compiled else nullcontext
        )
        if compiled:
            start_compiling()
            self.forward = torch.compile(self.forward)
            # on a CPU, compiled code would draw the crop again for every pixel
            if self.device.type == "cuda":
                self.prepare = torch.compile(prepare)
        self.counters = bn_counters(network)
        self.lr: float | None = None  # that is on the device
        self.ddp_primed = self.context.world == 1
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=dtype is torch.float16)
        # summed loss, wrong images, steps with a finite loss
        self.limited = is_limited(self.device)
        self.totals = torch.zeros(
            3, dtype=torch.int64 if self.limited else torch.float64, device=self.device
        )
        self.one = torch.ones((), dtype=self.totals.dtype, device=self.device)
        # 1.0 from the first loss on that is not finite
        self.nonfinite = torch.zeros((), device=self.device)
        self.captured = capture is not None
        self.train: Callable[..., None] = (
            capture(self._train_on, state=self.state) if capture else self._train_on
        )

    def __call__(self, *drawn: Tensor, lr: float) -> None:
        """One step on this rank's part of a batch, which `prepare` makes from `drawn`."""
        with self.shielded():
            if not self.ddp_primed:
                self._prime_ddp(*drawn)
            if lr != self.lr:
                self.optimizer.param_groups[0]["lr"].fill_(lr)
                self.lr = lr
            self.train(*drawn)

    def _train_on(self, *drawn: Tensor) -> None:
        """The part of a step that runs on the device."""
        self.optimizer.zero_grad()  # gradients that a failed capture may have left
        images, labels = self.prepare(*drawn)
        logits, loss = self._loss(images, labels)
        with torch.no_grad():
            if self.counters:
                torch._foreach_add_(self.counters, 1)
            # a number less itself is 0, unless it is NaN or infinite
            torch.maximum(self.nonfinite, (loss - loss) != 0, out=self.nonfinite)
            # the loss of one rank is in the gradients of all
            exchanged = self.context.start_all_reduce_max(self.nonfinite)
        if not self.limited:
            self.optimizer.found_inf = self.nonfinite  # type: ignore[attr-defined]  # read by the fused kernel
        self.scaler.scale(loss).backward()
        exchanged()
        if not (self.limited and self.nonfinite.item()):
            self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        if self.ema is not None:
            self.ema.update()
        self._count(loss.detach(), logits=logits.detach(), labels=labels)

    def _loss(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [N, classes], and the mean cross-entropy in nats.

        With label smoothing (Szegedy et al. 2016), that of targets whose share e is spread over all
        classes alike.
        """
        with autocast(self.device, self.dtype):
            logits = self.forward(images)
        loss = cross_entropy(logits.float(), labels, label_smoothing=self.label_smoothing)
        return logits, loss

    def state(self) -> Iterator[Tensor]:
        """Every tensor that a step changes."""
        yield from self.network.parameters()
        yield from self.network.buffers()
        yield from (
            state["momentum_buffer"]
            for state in self.optimizer.state.values()
            if state.get("momentum_buffer") is not None
        )
        yield from (self.totals, self.nonfinite)
        if self.ema is not None:
            yield from self.ema.state()

    def _prime_ddp(self, *drawn: Tensor) -> None:
        """Runs two passes without any effect on the state.

        DDP reorders its gradient buckets after its first pass, which changes the rounding of their
        sums: without these, the first step of a resumed run would differ from that of a run that
        was not stopped.
        """
        buffers = [buffer.clone() for buffer in self.network.buffers()]
        for _ in range(2):
            self._loss(*self.prepare(*drawn))[1].backward()
            self.optimizer.zero_grad()
        for buffer, before in zip(self.network.buffers(), buffers, strict=True):
            buffer.copy_(before)
        self.ddp_primed = True

    @torch.no_grad()
    def _count(self, loss: Tensor, *, logits: Tensor, labels: Tensor) -> None:
        """Adds this batch to the totals, unless a loss was not finite."""
        wrong = (logits.argmax(dim=1) != labels).sum()
        if self.limited:
            summed = (loss * (len(labels) / _LOSS_UNIT)).round().long()
        else:
            summed = loss.double() * len(labels)
        now = torch.stack([summed, wrong, self.one])
        self.totals += now.masked_fill_(self.nonfinite > 0, 0)

    def read_totals(self) -> tuple[float, int, int | None]:
        """Summed loss, wrong images, and the number of steps before a loss was not finite, or None.

        Waits for the device. The sums are over all ranks, whose totals stay in `totals_of_ranks`
        [world, 3].
        """
        if self.limited:  # never one of several ranks
            self.totals_of_ranks = (self.totals.cpu().double() * _LIMITED_UNITS)[None]
            loss, wrong, good_steps = self.totals_of_ranks[0].tolist()
            return loss, int(wrong), round(good_steps) if self.nonfinite.item() else None
        self.totals_of_ranks = self.context.gather(self.totals)
        loss, wrong, good_steps, nonfinite = torch.cat(
            [self.totals_of_ranks.sum(dim=0), self.nonfinite.double()[None]]
        ).tolist()
        return loss, int(wrong), round(good_steps / self.context.world) if nonfinite else None

    def restore_totals(self, saved: Tensor) -> None:
        """Continues from the totals of a checkpoint, [ranks, 3].

        If the number of ranks has changed, the first rank takes the sum.
        """
        saved, world = saved.reshape(-1, 3), self.context.world
        if len(saved) != world:
            first = saved.sum(dim=0)
            first[2] *= world / len(saved)  # every rank counts the steps
            saved = torch.cat([first[None], torch.zeros(world - 1, 3, dtype=saved.dtype)])
        mine = saved[self.context.rank]
        self.totals.copy_((mine / _LIMITED_UNITS).round() if self.limited else mine)

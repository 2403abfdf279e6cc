"""One step of SGD: forward, loss, backward, update, count. Nothing here waits for the device."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from resnet_cli.hardware import autocast, compile_network
from resnet_cli.models.resnet import ResNet


class TrainStep:
    """Trains `network` one batch a call and counts on the device what happened.

    A loss that is not finite never reaches the weights: from then on the fused optimizer skips every update
    (`found_inf`), and `read` tells at which step, the next time the host asks. In fp16 the loss scaler skips the bad step alone.
    """

    def __init__(self, network: ResNet, optimizer: torch.optim.SGD, *, dtype: torch.dtype, compiled: bool) -> None:
        self.network, self.optimizer, self.dtype = network, optimizer, dtype
        self.forward: Callable[[Tensor], Tensor] = compile_network(network) if compiled else network
        self.device = next(network.parameters()).device
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=dtype is torch.float16)
        self.totals = torch.zeros(3, dtype=torch.float64, device=self.device)  # loss, wrong images, good steps
        self.broken = torch.zeros((), device=self.device)  # 1.0 after the first loss that is not finite

    def __call__(self, images: Tensor, labels: Tensor, *, lr: float) -> None:
        """One step on images [N, 3, H, W] float32 and labels [N] int64."""
        self.optimizer.param_groups[0]["lr"].fill_(lr)
        with autocast(self.device, self.dtype):
            logits = self.forward(images)
        loss = cross_entropy(logits.float(), labels)
        with torch.no_grad():
            self.broken.copy_(torch.maximum(self.broken, (~loss.isfinite()).float()))
        self.optimizer.found_inf = self.broken  # type: ignore[attr-defined]  # read by the fused kernel
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        self.count(loss.detach(), logits.detach(), labels)

    @torch.no_grad()
    def count(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Adds this batch to the totals, unless the run is broken."""
        wrong = (logits.argmax(dim=1) != labels).sum()
        now = torch.stack([loss.double() * len(labels), wrong.double(), torch.ones_like(loss, dtype=torch.float64)])
        self.totals += torch.where(self.broken > 0, torch.zeros_like(now), now)

    def read(self) -> tuple[float, int, int | None]:
        """Waits for the device: loss summed over images, wrong images, and how many steps went well before the first bad loss, if any."""
        loss, wrong, good, broken = torch.cat([self.totals, self.broken.double()[None]]).tolist()
        return loss, int(wrong), int(good) if broken else None

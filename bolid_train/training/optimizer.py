"""The optimizer, its learning-rate schedule, and the moving average of the weights."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import Accelerator
from diffusers.optimization import get_scheduler
from diffusers.training_utils import EMAModel
from torch import Tensor, nn

from bolid_data.errors import UsageError
from bolid_data.manifest import Train

_SCHEDULES = {"constant": "constant_with_warmup", "cosine": "cosine"}


class Optimization:
    """Optimizer, learning-rate schedule and EMA of the given parameters; its state is all that resuming needs."""

    def __init__(
        self, parameters: Iterable[nn.Parameter], settings: Train, steps: int, accelerator: Accelerator
    ) -> None:
        """`steps`: of the whole run, at which a cosine schedule ends. Raises UsageError for an optimizer that is not
        installed."""
        self.parameters = list(parameters)
        optimizer = _optimizer(self.parameters, settings)
        self.schedule = get_scheduler(
            _SCHEDULES[settings.schedule], optimizer, num_warmup_steps=settings.warmup, num_training_steps=steps
        )
        self.optimizer = accelerator.prepare(optimizer)
        self.ema: EMAModel | None = None  # starts with the first step, because weights may be trained before it
        self._decay = settings.ema
        self._accelerator, self._max_norm = accelerator, settings.max_grad_norm

    def step(self) -> Tensor:
        """Updates the weights and clears the gradients; returns the gradients' norm before clipping."""
        if self._decay and not self.ema:
            self.ema = EMAModel(self.parameters, decay=self._decay)
        norm = self._accelerator.clip_grad_norm_(self.parameters, self._max_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.schedule.step()
        if self.ema:
            self.ema.step(self.parameters)
        return norm

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Replaces the weights by their average."""
        if not self.ema:
            yield
            return
        self.ema.store(self.parameters)
        self.ema.copy_to(self.parameters)
        try:
            yield
        finally:
            self.ema.restore(self.parameters)

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values only."""
        parts = {"optimizer": self.optimizer, "schedule": self.schedule, "ema": self.ema}
        parts["scaler"] = self._accelerator.scaler  # of gradients in float16
        return {name: part.state_dict() for name, part in parts.items() if part}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        if self._decay:
            self.ema = EMAModel(self.parameters, decay=self._decay)
            self.ema.load_state_dict(state["ema"])
            self.ema.to(self.parameters[0].device)
        if self._accelerator.scaler:
            self._accelerator.scaler.load_state_dict(state["scaler"])


def _optimizer(parameters: list[nn.Parameter], settings: Train) -> torch.optim.Optimizer:
    rate, decay = settings.learning_rate, settings.weight_decay
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(parameters, lr=rate, weight_decay=decay, fused=True)
    try:
        from bitsandbytes.optim import AdamW8bit
    except ImportError:
        raise UsageError(
            '[train] optimizer "adamw8bit" needs bitsandbytes: `pip install bitsandbytes`, or take "adamw"'
        ) from None
    return AdamW8bit(parameters, lr=rate, weight_decay=decay)

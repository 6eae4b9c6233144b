"""The interface of a method: everything that conditions the frozen UNet on a person."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal, Protocol

from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from bolid_train.data.batch import Batch
from bolid_train.diffusion.denoiser import Denoiser
from bolid_train.diffusion.unet_inputs import UNetInputs

Condition = Literal["text", "ref", "body"]
CONDITIONS: tuple[Condition, ...] = ("text", "ref", "body")


class Method(Protocol):
    """A way to preserve an identity. Created by `registry.resolve`, then installed, then loaded if it was trained."""

    def install(self, unet: UNet2DConditionModel) -> None:
        """Adds attention processors, a ControlNet or LoRA layers; called once, before any other method."""
        ...

    def condition(self, batch: Batch) -> UNetInputs:
        """The UNet's inputs for a batch. A row whose views all have confidence 0 has no body: sample one."""
        ...

    def drop(self, inputs: UNetInputs, condition: Condition, rows: Tensor | None = None) -> UNetInputs:
        """The inputs without a condition in some rows (bool (B,)), or in all: the unconditional input of guidance."""
        ...

    def scale(self, condition: Condition, weight: float) -> None:
        """Sets λ of a condition; with 0 for ref and body, the UNet must equal the base bit for bit."""
        ...

    def blend(self, first: UNetInputs, second: UNetInputs, weight: float) -> UNetInputs:
        """`first` with its body interpolated towards that of `second`: 0 is the first, 1 the second. Raises UsageError
        for a method without a body."""
        ...

    def losses(self, denoiser: Denoiser, batch: Batch) -> dict[str, Tensor]:
        """The method's loss terms by name, already weighted; the trainer adds them to L_diff."""
        ...

    def parameters(self) -> Iterable[nn.Parameter]:
        """All trained parameters."""
        ...

    def prepare(self, batches: Callable[[int], Batch]) -> None:
        """Trains what the adapter starts from, such as an encoder, before the first step; `batches(n)` gives the n-th
        batch."""
        ...

    def finish(self, batches: Callable[[int], Batch]) -> None:
        """Trains what follows the adapter, such as a prior; the adapter is no longer trained."""
        ...

    def save(self, folder: Path) -> dict[str, str]:
        """Writes all trained weights, losslessly; returns file name → kind (`ip-adapter`, `body-encoder`, …)."""
        ...

    def load(self, folder: Path) -> None:
        """Loads what `save` wrote."""
        ...

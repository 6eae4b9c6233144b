"""The interface of a method: everything that conditions the frozen UNet on a person."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from bolid_train.data.batch import Batch
from bolid_train.diffusion.base import Base
from bolid_train.diffusion.denoiser import Denoiser
from bolid_train.diffusion.unet_inputs import UNetInputs


class Method(Protocol):
    """A way to preserve an identity. Made by its spec, then installed, then loaded if it was trained."""

    def install(self, unet: UNet2DConditionModel, base: Base) -> None:
        """Adds attention processors, a ControlNet or LoRA layers; called once, before any other method. `base`: where
        the UNet is from, for frozen models that run in every step."""
        ...

    def condition(self, batch: Batch) -> tuple[UNetInputs, Any]:
        """The UNet's inputs for a batch, and what `losses` needs of the way there. A row whose views all have
        confidence 0 has no photos: sample its body, or leave it out."""
        ...

    def drop(self, inputs: UNetInputs, condition: str, rows: Tensor | None = None) -> UNetInputs:
        """The inputs without a condition in some rows (bool (B,)), or in all: the unconditional input of guidance."""
        ...

    def scale(self, name: str, weight: float) -> None:
        """Sets λ of a condition, for what `condition` returns from then on; with all scales at 0, the UNet must equal
        the base bit for bit."""
        ...

    def blend(self, first: UNetInputs, second: UNetInputs, weight: float) -> UNetInputs:
        """`first` with its body interpolated towards that of `second`: 0 is the first, 1 the second. Raises UsageError
        for a method without a body."""
        ...

    def place(self, inputs: UNetInputs, masks: Tensor) -> UNetInputs:
        """The inputs of one image of P people, from those of P rows, one for each person; the prompt is the first
        row's. `masks`: (P, H, W) in 0..1, where in the image each person conditions it. Raises UsageError for a method
        that cannot."""
        ...

    def losses(self, denoiser: Denoiser, batch: Batch, state: Any) -> dict[str, Tensor]:
        """The method's loss terms by name, already weighted; the trainer adds them to L_diff. `state`: from
        `condition` of the same batch."""
        ...

    def loss_weights(self, batch: Batch) -> Tensor | None:
        """The weight (B, 1, h, w) of each latent pixel in L_diff; None if all weigh the same."""
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

    def freeze(self) -> None:
        """Makes a trained method ready to generate with, in half precision if the UNet is; it is not trained after."""
        ...

    def load_public(self, path: Path) -> None:
        """Loads a published file, such as an IP-Adapter, to start from; before `parameters` is called. Raises
        UsageError for a method that has no such format, BolidError for a file that does not fit."""
        ...

"""What a method is: everything that conditions the frozen UNet on a person, behind one small interface."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal, Protocol

from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from bolid_train.data.batch import Batch
from bolid_train.diffusion.denoiser import Denoiser
from bolid_train.diffusion.unet_inputs import UNetInputs

Source = Literal["text", "ref", "body"]
SOURCES: tuple[Source, ...] = ("text", "ref", "body")


class Method(Protocol):
    """A way to keep an identity. It is made by `registry.find`, then installed, then perhaps loaded."""

    def install(self, unet: UNet2DConditionModel) -> None:
        """Puts attention processors, a ControlNet or LoRA layers in place; called once, before anything below."""
        ...

    def condition(self, batch: Batch) -> UNetInputs:
        """What the UNet gets for a batch. A row whose views all have confidence 0 has no body given: draw one."""
        ...

    def drop(self, inputs: UNetInputs, source: Source, rows: Tensor | None = None) -> UNetInputs:
        """The inputs without a source, in the rows (bool (B,)) given or in all; what guidance takes as "without"."""
        ...

    def scale(self, source: Source, weight: float) -> None:
        """Sets λ of a source; at 0 for ref and body the UNet must give what the bare base gives, bit for bit."""
        ...

    def blend(self, first: UNetInputs, second: UNetInputs, weight: float) -> UNetInputs:
        """`first` with the body on the way to that of `second`: 0 stays, 1 arrives. Raises UsageError for a method
        without a body."""
        ...

    def losses(self, denoiser: Denoiser, batch: Batch) -> dict[str, Tensor]:
        """The method's own terms by name, already weighted; the trainer adds them to L_diff."""
        ...

    def parameters(self) -> Iterable[nn.Parameter]:
        """All that is trained."""
        ...

    def prepare(self, batches: Callable[[int], Batch]) -> None:
        """Trains what the adapter starts from, such as an encoder, before the first step; `batches(n)` gives the n-th
        batch."""
        ...

    def finish(self, batches: Callable[[int], Batch]) -> None:
        """Trains what follows the adapter, which is frozen by now, such as a prior."""
        ...

    def save(self, folder: Path) -> dict[str, str]:
        """Writes all that was trained, losslessly; returns file name → kind (`ip-adapter`, `body-encoder`, …)."""
        ...

    def load(self, folder: Path) -> None:
        """Takes up what `save` wrote."""
        ...

"""The training objective: the loss of a batch, term by term."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bolid_data.manifest import Train
from bolid_train.data.batch import Batch
from bolid_train.diffusion.denoiser import Denoiser
from bolid_train.losses import ImageLosses
from bolid_train.methods.dropout import drop_at_random
from bolid_train.methods.protocol import Method


class TrainingObjective(nn.Module):
    """L = L_diff + the method's terms + the image losses (method.md, section 4).

    The module's parameters are the trained ones only, so that DDP averages no other gradients.
    """

    def __init__(
        self,
        method: Method,
        conditions: Sequence[str],
        denoiser: Denoiser,
        images: ImageLosses | None,
        settings: Train,
    ) -> None:
        """`conditions`: of the method, to drop at random."""
        super().__init__()
        self._parts = method, denoiser, images  # in a tuple, so that frozen modules are not registered as submodules
        self.settings, self.conditions = settings, conditions
        self.trained = nn.ParameterList(method.parameters())

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """The weighted terms of a batch, and their sum `loss`; each is a mean over rows."""
        method, denoiser, images = self._parts
        inputs, state = method.condition(batch)
        dropped = drop_at_random(method, self.conditions, inputs, batch.random, self.settings)
        diffusion = denoiser.loss(batch.latents, dropped, batch.random, method.loss_weights(batch))
        terms = {"diffusion": diffusion, **method.losses(denoiser, batch, state)}
        if images:
            terms |= images(denoiser, inputs, batch)
        return {"loss": torch.stack(list(terms.values())).sum(), **terms}

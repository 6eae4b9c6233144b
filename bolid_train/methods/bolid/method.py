"""BoLID: text, one reference photo and a body, by decoupled cross-attention on a frozen UNet."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional

from bolid_data.manifest import Train
from bolid_train.data.batch import Batch
from bolid_train.data.proportions import SPREAD, mean_proportions
from bolid_train.files import load_weights, write_safetensors
from bolid_train.methods.bolid.encoder import BodyEncoder, Posterior
from bolid_train.methods.bolid.prior import BodyPrior
from bolid_train.methods.bolid.prior_training import fit_prior
from bolid_train.methods.branched import Branched

if TYPE_CHECKING:
    from bolid_train.diffusion.denoiser import Denoiser


_LEARNING_RATE = 1e-3  # of the encoder, before the adapter


class Bolid(Branched):
    """The method of method.md, sections 2 to 5: two IP-Adapter branches, the Body-ID encoder, and a prior of bodies
    given text."""

    encoder: BodyEncoder

    def __init__(self, settings: Train, ref_dim: int) -> None:
        super().__init__(settings, ref_dim)
        self.widths = {"ref": ref_dim, "body": settings.body_dim}

    def install(self, unet: UNet2DConditionModel) -> None:
        settings = self.settings
        self.encoder = BodyEncoder(
            self.widths["ref"],
            unet.config.in_channels,
            settings.body_dim,
            variational=settings.body_encoder == "variational",
            aggregator=settings.aggregator,
            keypoints=settings.keypoints,
            min_confidence=settings.min_keypoint_confidence,
        )
        self.prior = BodyPrior(settings.body_dim, unet.config.cross_attention_dim).to(unet.device)
        super().install(unet)

    def embeddings(self, batch: Batch) -> Sequence[Tensor]:
        return [batch.image_embeds, self._bodies(batch)]

    def _bodies(self, batch: Batch) -> Tensor:
        """c_body (B, C): of the views, or of the prior where there are none."""
        posterior = self._posterior(batch)
        bodies = self._draw(posterior, batch) if torch.is_grad_enabled() else posterior.mean
        given = batch.views.given()
        if bool(given.all()):
            return bodies
        return torch.where(given[:, None], bodies, self.prior.sample(batch.prompt_embeds, batch.random))

    def _posterior(self, batch: Batch) -> Posterior:
        """In float32 also under autocast, for sums over C dimensions and proportions ask for it."""
        found = self.encoder(batch.views)
        return Posterior(found.mean.float(), None if found.log_variance is None else found.log_variance.float())

    def _draw(self, posterior: Posterior, batch: Batch) -> Tensor:
        """Bodies (B, C), the same ones whenever it is asked for a batch."""
        return posterior.sample(batch.random.normal("body", posterior.mean.shape[1]))

    def parameters(self) -> Iterable[nn.Parameter]:
        """Without the read-out of proportions where no term trains it: DDP waits for a gradient of all it is given."""
        left_out = () if self.settings.objective.proportions else self.encoder.proportions.parameters()
        ids = {id(value) for value in left_out}
        yield from (value for value in super().parameters() if id(value) not in ids)

    def losses(self, denoiser: "Denoiser | None", batch: Batch) -> dict[str, Tensor]:
        """`kl`: KL(q(c_body | views) ‖ N(0, I)) in nats a dimension, warmed up. `proportions`: how far what c_body
        tells of the person's proportions is from their mean over the person's photos."""
        objective, posterior = self.settings.objective, self._posterior(batch)
        given = batch.views.given()
        terms = {}
        if objective.kl and posterior.log_variance is not None:
            warm = 1.0 if batch.step >= objective.kl_warmup else batch.step / objective.kl_warmup
            nats = posterior.kl(objective.free_bits) / posterior.mean.shape[1]
            terms["kl"] = objective.kl * warm * (nats * given).mean()
        if objective.proportions and batch.people_keypoints is not None:
            bodies = self._draw(posterior, batch)
            with torch.autocast(bodies.device.type, enabled=False):
                told = self.encoder.read_proportions(bodies)
            terms["proportions"] = objective.proportions * _off(told, batch.people_keypoints, given)
        return terms

    def prepare(self, batches: Callable[[int], Batch]) -> None:
        """Trains the encoder by its own terms, so that the adapter meets bodies that mean something: it needs no UNet,
        and takes seconds for what would take the adapter's whole training."""
        optimizer = torch.optim.AdamW(self.encoder.parameters(), lr=_LEARNING_RATE)
        for step in range(self.settings.encoder_steps):
            batch = replace(batches(step), step=self.settings.objective.kl_warmup)
            terms = list(self.losses(None, batch).values())
            if not terms:
                return
            torch.stack(terms).sum().backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)  # afterwards: what is left would go into the adapter's first step

    def finish(self, batches: Callable[[int], Batch]) -> None:
        """Trains the prior on bodies as the adapter saw them: draws from the posteriors of people's views."""
        fit_prior(self.prior, self._posterior, batches, self.settings.prior_steps)

    def save(self, folder: Path) -> dict[str, str]:
        kinds = super().save(folder)
        write_safetensors(self.prior.state_dict(), folder / "prior.safetensors")
        return kinds | {"prior.safetensors": "body-prior"}

    def load(self, folder: Path) -> None:
        super().load(folder)
        load_weights(self.prior, folder / "prior.safetensors")


def _off(told: Tensor, keypoints: Tensor, given: Tensor) -> Tensor:
    """Smooth L1 between log proportions (B, 7) and the mean of those of the photos' keypoints (B, P, 17, 3), in units
    of how much they differ among photos of one person, where they are seen."""
    spread = told.new_tensor(SPREAD)
    own = mean_proportions(keypoints)
    seen = ~own.isnan() & given[:, None]
    off = functional.smooth_l1_loss(told / spread, own.nan_to_num() / spread, reduction="none")
    # Each row by itself: a mean over rows is then the same however a batch is cut.
    return ((off * seen).sum(dim=1) / seen.sum(dim=1).clamp_min(1)).mean()

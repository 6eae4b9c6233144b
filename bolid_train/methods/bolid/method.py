"""BoLID: conditions on text, a reference photo and a body, by decoupled cross-attention on a frozen UNet."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional

from bolid_data.manifest import Train
from bolid_data.progress import track
from bolid_train.data.batch import Batch
from bolid_train.data.person_proportions import PersonProportions
from bolid_train.diffusion.base import Base
from bolid_train.diffusion.denoiser import Denoiser
from bolid_train.files import load_weights, write_safetensors
from bolid_train.methods.bolid.body_views import BodyViews
from bolid_train.methods.bolid.encoder import BodyEncoder, Posterior
from bolid_train.methods.bolid.prior import BodyPrior
from bolid_train.methods.bolid.prior_training import fit_prior
from bolid_train.methods.bolid.settings import Settings
from bolid_train.methods.branched import BranchedMethod
from bolid_train.methods.spec import Shapes

_LEARNING_RATE = 1e-3  # of the encoder, before the adapter


@dataclass(frozen=True)
class Bodies:
    """The bodies of a batch, of which the UNet's inputs and the loss terms are made."""

    posterior: Posterior
    bodies: Tensor  # (B, C): sampled from the posterior in training, its mean otherwise


class Bolid(BranchedMethod):
    """Method `bolid` (method.md, sections 2 to 5): two IP-Adapter branches, the Body-ID encoder, and a prior of bodies
    given text."""

    encoder: BodyEncoder

    def __init__(self, settings: Train, shapes: Shapes) -> None:
        self.method_settings, self._shapes = Settings.of(settings), shapes
        super().__init__(
            settings, {"ref": shapes["image_embeds"][0], "body": self.method_settings.body_dim}, self.method_settings
        )

    def install(self, unet: UNet2DConditionModel, base: Base) -> None:
        settings = self.method_settings
        self.encoder = BodyEncoder(
            self._shapes["view_embeds"][0],
            self._shapes["view_latents"][0],
            settings.body_dim,
            variational=settings.body_encoder == "variational",
            aggregator=settings.aggregator,
            keypoints=self.settings.keypoints,
            min_confidence=self.settings.min_keypoint_confidence,
        )
        self.prior = BodyPrior(settings.body_dim, unet.config.cross_attention_dim).to(unet.device)
        super().install(unet, base)

    def embeddings(self, batch: Batch) -> tuple[Sequence[Tensor], Bodies]:
        state = self._encode(batch)
        return [batch.features["image_embeds"], self._with_prior(state.bodies, batch)], state

    def _encode(self, batch: Batch) -> Bodies:
        posterior = self._posterior(batch)
        if not torch.is_grad_enabled():
            return Bodies(posterior, posterior.mean)
        return Bodies(posterior, posterior.sample(batch.random.normal("body", posterior.mean.shape[1])))

    def _posterior(self, batch: Batch) -> Posterior:
        return self.encoder(BodyViews.of(batch))

    def _with_prior(self, bodies: Tensor, batch: Batch) -> Tensor:
        """Bodies (B, C): of rows without views, sampled from the prior."""
        has_views = batch.views.has_views()
        if bool(has_views.all()):
            return bodies
        return torch.where(has_views[:, None], bodies, self.prior.sample(batch.prompt_embeds, batch.random))

    def parameters(self) -> Iterable[nn.Parameter]:
        """Excludes the proportions head if no term trains it, because DDP expects a gradient for every parameter."""
        excluded = () if self.method_settings.proportions else self.encoder.proportions.parameters()
        ids = {id(value) for value in excluded}
        yield from (value for value in super().parameters() if id(value) not in ids)

    def losses(self, denoiser: Denoiser | None, batch: Batch, state: Bodies) -> dict[str, Tensor]:
        """`kl`: KL(q(c_body | views) ‖ N(0, I)) in nats per dimension, with a warm-up. `proportions`: the error of the
        log proportions predicted from c_body against the person's."""
        settings, posterior = self.method_settings, state.posterior
        has_views = batch.views.has_views()
        terms = {}
        if settings.kl and posterior.log_variance is not None:
            warmup = 1.0 if batch.step >= settings.kl_warmup else batch.step / settings.kl_warmup
            nats = posterior.kl(settings.free_bits) / posterior.mean.shape[1]
            terms["kl"] = settings.kl * warmup * (nats * has_views).mean()
        if settings.proportions and batch.proportions is not None:
            predicted = self.encoder.predict_proportions(state.bodies)
            error = _proportions_error(predicted, batch.proportions, has_views)
            terms["proportions"] = settings.proportions * error
        return terms

    def prepare(self, batches: Callable[[int], Batch]) -> None:
        """Trains the encoder with its own loss terms, so that the adapter starts with meaningful bodies. Without the
        UNet this takes seconds, for what would otherwise take the adapter's whole training. It predicts the typical
        proportions at first."""
        if (first := batches(0).proportions) is not None:
            with torch.no_grad():
                self.encoder.proportions.bias.copy_(first.typical[0])
        optimizer = torch.optim.AdamW(self.encoder.parameters(), lr=_LEARNING_RATE)
        for step in track(range(self.method_settings.encoder_steps), "training the body encoder"):
            batch = replace(batches(step), step=self.method_settings.kl_warmup)
            terms = list(self.losses(None, batch, self._encode(batch)).values())
            if not terms:
                return
            torch.stack(terms).sum().backward()
            optimizer.step()
            # After the step: leftover gradients would enter the adapter's first step.
            optimizer.zero_grad(set_to_none=True)

    def finish(self, batches: Callable[[int], Batch]) -> None:
        """Trains the prior on bodies like those in training: samples from the posteriors of people's views."""
        fit_prior(self.prior, self._posterior, batches, self.method_settings.prior_steps)

    def save(self, folder: Path) -> dict[str, str]:
        kinds = super().save(folder)
        write_safetensors(self.prior.state_dict(), folder / "prior.safetensors")
        return kinds | {"prior.safetensors": "body-prior"}

    def load(self, folder: Path) -> None:
        super().load(folder)
        load_weights(self.prior, folder / "prior.safetensors")


def _proportions_error(predicted: Tensor, proportions: PersonProportions, has_views: Tensor) -> Tensor:
    """Smooth L1 between predicted log proportions (B, 7) and the people's, where visible, in units of their deviation
    among photos of one person."""
    target, spread = proportions.person, proportions.spread
    mask = ~target.isnan() & has_views[:, None]
    errors = functional.smooth_l1_loss(predicted / spread, target.nan_to_num() / spread, reduction="none")
    # Normalised by row, so that the mean over rows does not depend on how a batch is split.
    return ((errors * mask).sum(dim=1) / mask.sum(dim=1).clamp_min(1)).mean()

"""L_id and L_CLIP on images generated during training, through a frozen VAE decoder, detector and CLIP."""

import math
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from bolid_data.manifest import ObjectiveSettings, Train
from bolid_train.data.batch import Batch
from bolid_train.data.features.clip import ClipReferences, ClipTexts
from bolid_train.data.features.feature import Feature
from bolid_train.diffusion.base import Base
from bolid_train.diffusion.clip import Clip, load_clip
from bolid_train.diffusion.denoiser import Denoiser
from bolid_train.diffusion.keypoints import KeypointDetector, load_keypoints
from bolid_train.diffusion.precision import training_precision
from bolid_train.diffusion.unet_inputs import UNetInputs
from bolid_train.losses import identity


def image_features(settings: Train, relative_to: Path) -> list[Feature]:
    """The features that L_CLIP compares images with; none if no term uses CLIP. `relative_to`: the folder to which a
    CLIP's path is relative."""
    features: list[Feature] = []
    if settings.objective.clip_text:
        features.append(ClipTexts(settings, relative_to))
    if settings.objective.clip_style:
        features.append(ClipReferences(settings, relative_to))
    return features


class ImageLosses:
    """α·L_id + β·L_CLIP on clean predictions, not noisy ones (Guo et al. 2024, PuLID), for a share of the rows."""

    def __init__(
        self, vae: AutoencoderKL, detector: KeypointDetector | None, clip: Clip | None, objective: ObjectiveSettings
    ) -> None:
        self._vae, self._detector, self._clip, self._objective = vae, detector, clip, objective

    @classmethod
    def from_settings(
        cls, base: Base, settings: Train, device: torch.device, relative_to: Path = Path()
    ) -> "ImageLosses | None":
        """None if no term of [train.objective] needs images. `relative_to`: the folder to which a CLIP's path is
        relative."""
        objective = settings.objective
        if not objective.needs_images:
            return None
        vae = base.vae(device, training_precision(settings, device).vae)
        if settings.gradient_checkpointing:
            vae.enable_gradient_checkpointing()
        detector = load_keypoints(objective.detector, str(device)) if objective.identity else None
        clip = load_clip(objective.clip, relative_to) if objective.clip_text or objective.clip_style else None
        if clip:
            clip.model.to(device)
        return cls(vae, detector, clip, objective)

    def __call__(self, denoiser: Denoiser, inputs: UNetInputs, batch: Batch) -> dict[str, Tensor]:
        """The weighted terms `identity`, `clip_text` and `clip_style`, those whose weight is not 0: means over rows.

        Args:
            inputs: of the whole batch, with nothing dropped. The first ceil(share · B) rows are used.
        """
        rows = slice(math.ceil(self._objective.share * len(batch)))
        inputs, batch = inputs.rows(rows), batch.select(rows)
        images = self.decode(self._latents(denoiser, inputs, batch))
        terms = {}
        if self._detector:
            terms["identity"] = self._objective.identity * self._identity(images, batch).mean()
        if self._clip:
            embeds = self._clip.embed_images(images)
            weights = {"clip_text": self._objective.clip_text, "clip_style": self._objective.clip_style}
            targets = {"clip_text": "clip_texts", "clip_style": "clip_references"}
            for name, feature in targets.items():
                if weights[name]:
                    terms[name] = weights[name] * (1 - (embeds * batch.features[feature]).sum(1)).mean()
        return terms

    def _latents(self, denoiser: Denoiser, inputs: UNetInputs, batch: Batch) -> Tensor:
        if self._objective.pictures == "lightning":
            return denoiser.lightning(inputs, batch.random, tuple(batch.latents.shape[1:]), self._objective.first_step)
        first, last = self._objective.min_timestep, self._objective.max_timestep
        return denoiser.clean(batch.latents, inputs, batch.random, first, last)

    def decode(self, latents: Tensor) -> Tensor:
        """Decodes latents (B, C, h, w), scaled for the UNet, to images (B, 3, H, W) in about -1..1, in float32."""
        scaled = (latents / self._vae.config.scaling_factor).to(self._vae.dtype)
        return self._vae.decode(scaled).sample.float()

    def _identity(self, images: Tensor, batch: Batch) -> Tensor:
        """L_id of each row (B,), in the form that the settings name."""
        assert self._detector and batch.reference_keypoints is not None and batch.proportions is not None
        keypoints = self._detector(images)
        size = images.shape[3], images.shape[2]
        if self._objective.identity_form == "absolute":
            return identity.absolute(keypoints, batch.reference_keypoints, size)
        person = batch.proportions.person
        if self._objective.identity_form == "proportions":
            return identity.of_proportions(keypoints, person, batch.proportions.spread)
        return identity.retargeted(keypoints, person, size)

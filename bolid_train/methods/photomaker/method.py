"""PhotoMaker (Li et al. 2024)."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPVisionModelWithProjection

from bolid_data import model_files
from bolid_data.errors import BolidError
from bolid_data.manifest import Train
from bolid_train.data.batch import Batch
from bolid_train.diffusion.base import Base
from bolid_train.diffusion.unet_inputs import UNetInputs
from bolid_train.files import write_safetensors
from bolid_train.methods.layers.lora import LoraLayers
from bolid_train.methods.layers.public import refuse_other_tensors
from bolid_train.methods.photomaker import file
from bolid_train.methods.photomaker.class_word import repeat_class_word
from bolid_train.methods.photomaker.face_id_encoder import FaceIdEncoder
from bolid_train.methods.photomaker.id_encoder import IdEncoder
from bolid_train.methods.photomaker.person_box import person_box
from bolid_train.methods.photomaker.settings import Settings
from bolid_train.methods.photomaker.text_encoders import TextEncoders
from bolid_train.methods.spec import Shapes
from bolid_train.methods.text.method import TextOnly, zeroed

_FILE = "photomaker.safetensors"
_CLASS = "vision_model.embeddings.class_embedding"
_OF_VERSION_2 = f"{file.ENCODER}qformer_perceiver."
_FACE = f"{_OF_VERSION_2}token_proj.0.weight"


class PhotoMaker(TextOnly):
    """Method `photomaker`, versions 1 and 2. Its one condition besides the text is `id`: the person, in the prompt at
    the place of the class word. The LoRA on the UNet's attention helps the UNet to read such prompts, and stays when
    the person is dropped; `scale` of `id` scales both."""

    def __init__(self, settings: Train, shapes: Shapes) -> None:
        super().__init__(settings)
        self.method_settings = Settings.of(settings)
        name = "view_face_embeds" if self.method_settings.face_encoder else "view_embeds"
        self._identity = (name, shapes[name][0]) if self.method_settings.version == 2 else None
        self._scale = 1.0

    def install(self, unet: UNet2DConditionModel, base: Base) -> None:
        self.text_encoders = TextEncoders(base, unet)
        clip: Any = CLIPVisionModelWithProjection.from_pretrained(
            base.image_encoder, dtype=torch.float32, variant=model_files.variant(base.image_encoder)
        )
        widths = self.text_encoders.widths
        self.encoder = (
            FaceIdEncoder.for_faces(clip, widths, self._identity[1]) if self._identity else IdEncoder.on(clip, widths)
        )
        self.encoder.requires_grad_(False).to(unet.device)
        for value in self.encoder.trained(self.method_settings.encoder_layers):
            value.requires_grad_(True)
        self.layers = LoraLayers(unet, "photomaker", self.method_settings.rank)

    def condition(self, batch: Batch) -> tuple[UNetInputs, Any]:
        """In rows without photos or without a class word, the prompt stays as it is."""
        inputs, _ = super().condition(batch)
        prompt, share = batch.prompt_embeds, self.method_settings.merge_after
        if self._scale:
            prompt = self._with_person(batch)
        return replace(inputs, encoder_hidden_states=prompt, text=batch.prompt_embeds, text_share=share), None

    def _with_person(self, batch: Batch) -> Tensor:
        """The prompts (B, L, D) with the class word repeated for each identity token, and fused with it."""
        shown = batch.views.confidence > 0
        if self.method_settings.face_encoder:
            shown = shown & batch.features["view_face_embeds"].any(dim=-1)
        # Photos first, then padding and photos without a face; at most as many as the settings say.
        order = shown.int().argsort(dim=1, descending=True, stable=True)[:, : self.method_settings.photos]
        count = shown.sum(dim=1).clamp(max=self.method_settings.photos)
        names = ["id_pixels", *([self._identity[0]] if self._identity else [])]
        views = [chosen_views(batch.features[name], order).flatten(0, 1) for name in names]
        tokens = self.encoder(*views).unflatten(0, order.shape).flatten(1, 2)
        repeated, places = [], torch.empty(0)
        for ids, class_tokens in zip(
            batch.features["token_ids"].unbind(1), batch.features["class_tokens"].bool().unbind(1), strict=True
        ):
            ids, places = repeat_class_word(ids, class_tokens, count * self.encoder.tokens)
            repeated.append(ids)
        prompt = self.text_encoders(torch.stack(repeated, dim=1))
        fused = self.encoder.fuse_module(prompt, tokens, places)
        fused = fused if self._scale == 1 else torch.lerp(prompt, fused, self._scale)
        return torch.where(places.any(dim=1)[:, None, None], fused, batch.prompt_embeds)

    def drop(self, inputs: UNetInputs, condition: str, rows: Tensor | None = None) -> UNetInputs:
        """Without `id`, the prompt is the text alone. Without the text, the person goes with it, as in the paper's null
        text."""
        assert inputs.text is not None
        if condition == "text":
            return replace(super().drop(inputs, condition, rows), text=zeroed(inputs.text, rows))
        if condition != "id":
            return inputs
        dropped = torch.ones(len(inputs.text), dtype=torch.bool, device=inputs.text.device) if rows is None else rows
        states = torch.where(dropped[:, None, None], inputs.text, inputs.encoder_hidden_states)
        return replace(inputs, encoder_hidden_states=states)

    def scale(self, name: str, weight: float) -> None:
        if name == "id":
            self._scale = weight
            self.layers.scale(weight)

    def loss_weights(self, batch: Batch) -> Tensor | None:
        """In a share of the rows, the box around the person; the paper has masks of the person there (section 3.3)."""
        if not self.method_settings.masked_loss:
            return None
        height, width = batch.latents.shape[2:]
        box = person_box(batch.keypoints, height, width, self.settings.min_keypoint_confidence)
        masked = batch.random.uniform("masked loss") < self.method_settings.masked_loss
        return torch.where(masked.view(-1, 1, 1, 1), box, 1.0)

    def parameters(self) -> Iterable[nn.Parameter]:
        return [*self.layers.parameters(), *self.encoder.trained(self.method_settings.encoder_layers)]

    def save(self, folder: Path) -> dict[str, str]:
        write_safetensors(self._tensors(), folder / _FILE)
        return {_FILE: "photomaker"}

    def load(self, folder: Path) -> None:
        self.load_public(folder / _FILE)

    def load_public(self, path: Path) -> None:
        """A published PhotoMaker; so is a run's file."""
        stored, expected = file.read_photomaker(path), self._tensors()
        self._refuse_other_shape(path, stored)
        refuse_other_tensors(stored, expected, path)
        self.encoder.load_state_dict(file.part(stored, file.ENCODER))
        names = {file.published_lora(name): name for name in self.layers.tensors()}
        self.layers.load({name: stored[published] for published, name in names.items()})

    def _tensors(self) -> dict[str, Tensor]:
        return file.published(self.encoder.state_dict(), self.layers.tensors())

    def _refuse_other_shape(self, path: Path, stored: Mapping[str, Tensor]) -> None:
        """Raises BolidError for a file of another version, rank, image encoder or face encoder."""
        version = 2 if any(name.startswith(_OF_VERSION_2) for name in stored) else 1
        if version != self.method_settings.version:
            raise BolidError(f"{path} is version {version} of PhotoMaker; set [train.photomaker] version = {version}")
        ranks = {len(value) for name, value in stored.items() if name.endswith("_lora.down.weight") and value.ndim}
        if len(ranks) == 1 and ranks != {self.method_settings.rank}:
            rank = ranks.pop()
            raise BolidError(f"{path}: its LoRA has rank {rank}; set [train.photomaker] rank = {rank}")
        expected, other = self.encoder.state_dict()[_CLASS].shape, stored.get(file.ENCODER + _CLASS)
        if other is not None and other.shape != expected:
            raise BolidError(
                f"{path}: its image encoder is {other.numel()} wide, and that of the base is {expected.numel()}; name "
                "the one that it was made with in [train] image_encoder, such as 'openai/clip-vit-large-patch14'"
            )
        face = stored.get(_FACE)
        if self._identity and face is not None and face.ndim == 2 and face.shape[1] != self._identity[1]:
            raise BolidError(
                f"{path}: its face embeddings are {face.shape[1]} wide, and the identity embeddings here are "
                f"{self._identity[1]}; name the network that it was made with in [train.photomaker] face_encoder"
            )


def chosen_views(values: Tensor, order: Tensor) -> Tensor:
    """The views (B, P, …) with the numbers `order` (B, P), of all (B, V, …)."""
    rows = torch.arange(len(values), device=values.device)[:, None]
    return values[rows, order]

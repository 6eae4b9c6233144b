"""InstantID (Wang et al. 2024)."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from bolid_data.manifest import Train
from bolid_data.paths import regular_file
from bolid_data.progress import note
from bolid_train.data.batch import Batch
from bolid_train.diffusion.base import Base
from bolid_train.diffusion.unet_inputs import Control, UNetInputs
from bolid_train.methods.branched import BranchedMethod
from bolid_train.methods.instantid import identity_net
from bolid_train.methods.instantid.settings import CONFIG, FILE, WEIGHTS, Settings
from bolid_train.methods.layers.branches import Branches
from bolid_train.methods.layers.public import read_ip_adapter, write_ip_adapter
from bolid_train.methods.layers.resampler import PerceiverSize, Resampler
from bolid_train.methods.spec import Shapes


class InstantId(BranchedMethod):
    """Method `instantid`: tokens T = Resampler(e) of one identity embedding e, decoupled cross-attention on T, and
    IdentityNet, which gets T alone and an image of where the person is to be. Of several references, e is the mean.

    Training shows IdentityNet the keypoints of the target, never those of the reference, so that a pose is learnt from
    them and not from e.
    """

    def __init__(self, settings: Train, shapes: Shapes) -> None:
        self.method_settings = Settings.of(settings)
        is_face = self.method_settings.identity == "face"
        self._feature = "face_embeds" if is_face else "image_embeds"
        self._draw = identity_net.face_images if is_face else identity_net.body_images
        self._pose_scale = 1.0
        super().__init__(settings, {"body": shapes[self._feature][0]}, self.method_settings)

    def install(self, unet: UNet2DConditionModel, base: Base) -> None:
        self.identity_net = identity_net.build(unet, base)
        if self.settings.gradient_checkpointing:
            self.identity_net.enable_gradient_checkpointing()
        self._pixels = base.vae_scale_factor
        settings, text = self.method_settings, unet.config.cross_attention_dim
        size = PerceiverSize.usual(self.widths["body"], text, settings.width, settings.depth)
        resampler = Resampler(size, settings.queries)
        self.branches = Branches(unet, self.widths, self._zero_tokens, {"body": resampler}, sampling="nearest")

    def embeddings(self, batch: Batch) -> tuple[Sequence[Tensor], Any]:
        return [batch.features[self._feature]], None

    def condition(self, batch: Batch) -> tuple[UNetInputs, Any]:
        inputs, state = super().condition(batch)
        if self._pose_scale == 0:
            return inputs, state
        height, width = (side * self._pixels for side in batch.latents.shape[2:])
        image, shown = self._draw(batch.keypoints, width, height, self.settings.min_keypoint_confidence)
        nothing = batch.prompt_embeds.new_empty(0)  # `_follow` fills it in
        scale = self._pose_scale * shown.to(image)
        control = Control(self.identity_net, image, nothing, nothing, batch.time_ids, scale)
        return self._follow(replace(inputs, controls=(control,))), state

    def drop(self, inputs: UNetInputs, condition: str, rows: Tensor | None = None) -> UNetInputs:
        """Without the body, IdentityNet gets the tokens of no body, too; without the pose, it adds nothing."""
        if condition == "pose":
            return replace(inputs, controls=tuple(control.drop(rows) for control in inputs.controls))
        return self._follow(super().drop(inputs, condition, rows))

    def scale(self, name: str, weight: float) -> None:
        super().scale(name, weight)
        if name == "pose":
            self._pose_scale = weight

    def blend(self, first: UNetInputs, second: UNetInputs, weight: float) -> UNetInputs:
        return self._follow(super().blend(first, second, weight))

    def place(self, inputs: UNetInputs, masks: Tensor) -> UNetInputs:
        """In each region, IdentityNet gets the person's tokens; elsewhere, those of no body."""
        placed = super().place(inputs, masks)
        if not inputs.controls:
            return placed
        [control], [first] = inputs.controls, placed.controls
        [nobody] = self.drop(inputs.rows(slice(1)), "body").controls
        shares = masks / masks.sum(dim=0).clamp_min(1)
        people = [
            replace(control.rows(slice(row, row + 1)), pooled=first.pooled, mask=share[None, None])
            for row, share in enumerate(shares)
        ]
        return replace(placed, controls=(*people, replace(nobody, mask=(1 - shares.sum(dim=0))[None, None])))

    def parameters(self) -> Iterable[nn.Parameter]:
        yield from super().parameters()
        yield from self.identity_net.parameters()

    def save(self, folder: Path) -> dict[str, str]:
        """Writes the published layout."""
        write_ip_adapter(self.branches.tensors("body"), folder / FILE)
        return {FILE: "ip-adapter", **identity_net.save(self.identity_net, folder)}

    def load(self, folder: Path) -> None:
        self.branches.copy("body", read_ip_adapter(folder / FILE), folder / FILE)
        identity_net.load(self.identity_net, regular_file(folder, WEIGHTS), regular_file(folder, CONFIG))

    def freeze(self) -> None:
        super().freeze()
        network = self.identity_net.requires_grad_(False)
        identity_net.convert(network, network.device, self.branches.dtype)

    def load_public(self, path: Path) -> None:
        """Loads a published `ip-adapter.bin`, with the folder `ControlNetModel` beside it. What it makes of no face
        stays as it is."""
        note(f"{path}: if this is InstantX's checkpoint, it is for research purposes only")
        self.branches.load_public("body", path)
        # In the hub's cache, files are links that lead out of their folder.
        identity_net.load(self.identity_net, path.parent / WEIGHTS, path.parent / CONFIG)

    def _follow(self, inputs: UNetInputs) -> UNetInputs:
        """The inputs, with IdentityNet's tokens and pooled text made of the UNet's."""
        if not inputs.controls:
            return inputs
        [embeds] = inputs.added_cond_kwargs["image_embeds"]
        tokens, pooled = self.branches.tokens("body", embeds).flatten(1, 2), inputs.added_cond_kwargs["text_embeds"]
        controls = tuple(replace(control, tokens=tokens, pooled=pooled) for control in inputs.controls)
        return replace(inputs, controls=controls)

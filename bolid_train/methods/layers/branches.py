"""Branches of decoupled cross-attention on one UNet, each saved as a plain IP-Adapter (Ye et al. 2023)."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.embeddings import MultiIPAdapterImageProjection
from torch import Tensor, nn
from torch.nn.functional import linear

from bolid_data.errors import BolidError
from bolid_train.files import read_safetensors, write_safetensors
from bolid_train.methods.layers.attention import Attention, BranchedAttention, KeysAndValues, Sampling
from bolid_train.methods.layers.projections import EmbeddingProjection, projection_like
from bolid_train.methods.layers.public import read_ip_adapter, refuse_other_tensors


class Branches(MultiIPAdapterImageProjection):
    """Z' = Attn(Q, K_t, V_t) + Σ_b λ_b · Attn(Q, K_b, V_b) over named branches b (method.md, section 3).

    The UNet calls it once per pass, with each branch's embeddings, and passes the keys and values that it returns on to
    the layers. Weights are in float32, whatever the UNet's type; the keys and values have the UNet's.
    """

    def __init__(
        self,
        unet: UNet2DConditionModel,
        widths: Mapping[str, int],
        zero_tokens: bool,
        projections: Mapping[str, nn.Module] | None = None,
        sampling: Sampling = "bicubic",
    ) -> None:
        """Installs a branch per name, with embeddings of width `widths[name]`; K_b and V_b start as the UNet's K and
        V.

        Args:
            zero_tokens: an embedding of zeros, which stands for a photo that is not given, becomes tokens, keys and
                values of zeros, and adds nothing to the UNet: the same as scale 0. For the plain projection, because
                its biases stay at 0, so that the same holds in the stock pipeline. Otherwise its tokens are whatever
                the biases make of it.
            projections: those that are not IP-Adapter's plain one, by name.
            sampling: how masks are resized to the layers.
        """
        text_dim = unet.config.cross_attention_dim
        given = projections or {}
        # Built one by one, in order, because the initial weights depend on it.
        super().__init__(
            [given[name] if name in given else EmbeddingProjection(width, text_dim) for name, width in widths.items()]
        )
        self.to(unet.device)
        self.names: list[str] = list(widths)
        self._scales = [1.0] * len(self.names)
        self.dtype = unet.dtype
        layers = [name for name in unet.attn_processors if name.endswith("attn2.processor")]
        original = [
            unet.get_submodule(name.removesuffix("processor") + part).get_parameter("weight")
            for name in layers
            for part in ("to_k", "to_v")
        ]
        self._rows = [len(weight) for weight in original]
        # One matrix for all layers: their keys and values are one product, and their weights one tensor to optimise.
        weights = torch.cat(original).float()
        self.to_kv = nn.ParameterList(nn.Parameter(weights.clone()) for _ in self.names)
        self._fixed: dict[str, list[nn.Parameter]] = {name: [] for name in self.names}
        self._masked = {name for name in given if zero_tokens}
        self._stand_ins: dict[str, Tensor] = {}
        self._is_trained = False
        if zero_tokens:
            for name, projection in zip(self.names, self.image_projection_layers, strict=True):
                if isinstance(projection, EmbeddingProjection):
                    self._fixed[name] = [projection.proj.bias, projection.norm.bias]
                for bias in self._fixed[name]:
                    bias.requires_grad_(False).zero_()
        branched = {name: BranchedAttention(number, self._scales, sampling) for number, name in enumerate(layers)}
        unet.set_attn_processor(dict.fromkeys(unet.attn_processors, Attention()) | branched)
        unet.encoder_hid_proj = self
        unet.register_to_config(encoder_hid_dim_type="ip_image_proj")

    def forward(self, image_embeds: Sequence[Tensor]) -> list[KeysAndValues]:
        """Each branch's keys and values, of its embeddings (B, P, D) of P photos; of features, (B, P, S, D)."""
        return self.keys_and_values([self.tokens(*branch) for branch in zip(self.names, image_embeds, strict=True)])

    def tokens(self, name: str, embeds: Tensor) -> Tensor:
        """A branch's tokens (B, P, T, D_text), of its embeddings (B, P, D) or features (B, P, S, D)."""
        photos = embeds.float().flatten(0, 1)
        given = photos.flatten(1).any(dim=1).view(-1, 1, 1)
        if name in self._stand_ins:
            photos = torch.where(given, photos, self._stand_ins[name].to(photos))
        tokens = self.project(name, photos)
        if name in self._masked:
            tokens = torch.where(given, tokens, 0)
        return tokens.unflatten(0, embeds.shape[:2])

    def project(self, name: str, photos: Tensor) -> Tensor:
        """Tokens (N, T, D_text) of embeddings (N, D) or features (N, S, D) by a branch's projection alone."""
        tokens: Tensor = self.image_projection_layers[self.names.index(name)](photos)
        return tokens

    def stand_in(self, name: str, features: Tensor) -> None:
        """The features (S, D) that a branch takes for a photo that is not given, if its tokens are not to be zeros."""
        self._stand_ins[name] = features

    def keys_and_values(self, tokens: Sequence[Tensor]) -> list[KeysAndValues]:
        """Each branch's keys and values, of its tokens (B, P, T, D)."""
        return [
            linear(of_branch.to(self.dtype), weights.to(self.dtype)).split(self._rows, dim=-1)
            for of_branch, weights in zip(tokens, self.to_kv, strict=True)
        ]

    def scale(self, name: str, weight: float) -> None:
        """Sets λ of a branch."""
        self._scales[self.names.index(name)] = weight

    def trained_parameters(self) -> Iterator[nn.Parameter]:
        """All but the biases that stay at 0. After this, sizes cannot change."""
        self._is_trained = True
        fixed = {id(bias) for biases in self._fixed.values() for bias in biases}
        yield from (value for value in self.parameters() if id(value) not in fixed)

    def freeze(self) -> None:
        """Converts what is used in every step of generation to the UNet's type; nothing can be trained after it."""
        self.requires_grad_(False)
        for weights in self.to_kv:
            weights.data = weights.data.to(self.dtype)

    def save(self, name: str, path: Path) -> None:
        """Writes a branch in IP-Adapter layout: `image_proj.*`, and `ip_adapter.{1,3,5,…}` in the UNet's order."""
        write_safetensors(self.tensors(name), path)

    def load(self, name: str, path: Path) -> None:
        """Loads a branch that `save` wrote, for a UNet of the same shape."""
        self.copy(name, read_safetensors(path), path)

    def load_public(self, name: str, path: Path) -> None:
        """Loads a published IP-Adapter, `.safetensors` or a `.bin` of nested dictionaries, for a UNet of the same
        shape. What it makes of a photo that is not given stays as it is in the file, and is trained."""
        self.copy(name, read_ip_adapter(path), path)
        self._masked.discard(name)
        for bias in self._fixed[name]:
            bias.requires_grad_(True)
        self._fixed[name] = []

    @torch.no_grad()
    def silence(self, name: str) -> None:
        """Sets a branch's values to zeros, so that it adds nothing until it is trained."""
        for key, value in self.tensors(name).items():
            if key.endswith("to_v_ip.weight"):
                value.zero_()

    @torch.no_grad()
    def copy(self, name: str, stored: dict[str, Tensor], path: Path) -> None:
        """Takes over a branch's weights, `stored` in the file `path`. The number and the inner sizes of the tokens are
        the file's. Raises BolidError, naming tensors, for a file of another layout or for another UNet."""
        number = self.names.index(name)
        projection = self.image_projection_layers[number]
        if not isinstance(projection, EmbeddingProjection):
            resized = _resized(projection, stored, path)
            if resized is not projection and self._is_trained:
                raise BolidError(
                    f"{path}: its tokens are of another size than those of this run, which cannot start from it"
                )
            self.image_projection_layers[number] = resized
        tensors = self.tensors(name)
        refuse_other_tensors(stored, tensors, path)
        for key, value in tensors.items():
            value.copy_(stored[key])

    def tensors(self, name: str) -> dict[str, Tensor]:
        """A branch's tensors by their name in the file, which share memory with the weights; layers are numbered in
        ComfyUI's order."""
        number = self.names.index(name)
        projection = self.image_projection_layers[number]
        tensors = {f"image_proj.{key}": value.detach() for key, value in projection.named_parameters()}
        for position, rows in enumerate(self.to_kv[number].detach().split(self._rows)):
            kind = "v" if position % 2 else "k"
            tensors[f"ip_adapter.{position - position % 2 + 1}.to_{kind}_ip.weight"] = rows
        return tensors


def _resized(projection: nn.Module, stored: dict[str, Tensor], path: Path) -> nn.Module:
    """The projection, or one of its kind with the sizes in the file, on the same device."""
    part = {key.removeprefix("image_proj."): value for key, value in stored.items() if key.startswith("image_proj.")}
    own = {key: value.shape for key, value in projection.named_parameters()}
    if {key: value.shape for key, value in part.items()} == own:
        return projection
    other = projection_like(part, path)
    if type(other) is not type(projection) or other.ends != projection.ends:
        return projection  # whose tensors are then named in an error
    parameter = next(projection.parameters())
    return other.to_empty(device=parameter.device).to(parameter.dtype)

"""IP-Adapter (Ye et al. 2023), with the layouts of FaceID."""

from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.parity.attention import at_scales, attention_layer, cross_attention
from benchmarks.parity.fixture import Fixture
from bolid_train.methods.layers.attention import Attention
from bolid_train.methods.layers.low_rank import add_low_rank, rank_of
from bolid_train.methods.layers.projections import projection_like
from bolid_train.methods.layers.resampler import HEAD_DIM


def _projection(fixture: Fixture) -> nn.Module:
    """The projection of the layout that the weights have."""
    weights = fixture.part("image_proj.")
    [to_q] = [name for name in fixture.weights if name.endswith("layers.0.0.to_q.weight")] or [""]
    head_dim = fixture.head_dim(to_q) if to_q else HEAD_DIM
    projection = projection_like(weights, Path(fixture.case), head_dim).to_empty(device="cpu")
    projection.load_state_dict(weights)
    return projection


def _image_projection(fixture: Fixture) -> dict[str, Tensor]:
    projection, embeds = _projection(fixture), next(iter(fixture.inputs.values()))
    return {"tokens": projection(embeds), "uncond_tokens": projection(torch.zeros_like(embeds))}


def _one_input(fixture: Fixture) -> dict[str, Tensor]:
    return {"tokens": _projection(fixture)(next(iter(fixture.inputs.values())))}


def _faceid_plus_projection(fixture: Fixture) -> dict[str, Tensor]:
    projection, inputs = _projection(fixture), (fixture.inputs["id_embeds"], fixture.inputs["clip_embeds"])
    return {
        "tokens": projection(*inputs),
        "tokens_shortcut": projection(*inputs, shortcut=1.0),
        "tokens_shortcut_scaled": projection(*inputs, shortcut=fixture.dims["shortcut_scale"]),
    }


def _faceid_attention(fixture: Fixture) -> dict[str, Tensor]:
    layers = [attention_layer(fixture.part(f"unet.attn{number}."), fixture.dims["heads"]) for number in (1, 2)]
    for number, layer in enumerate(layers):
        part = fixture.part(f"ip_adapter.{number}.")
        for name, added in add_low_rank(layer, rank_of(part), fixture.dims["lora_scale"]).items():
            added.down.weight.copy_(part[f"{name}.down.weight"])
            added.up.weight.copy_(part[f"{name}.up.weight"])
    layers[0].set_processor(Attention())
    return {
        "self_attention": layers[0](fixture.inputs["hidden_states"]),
        "cross_attention": cross_attention(fixture, fixture.dims["scale"], layer=layers[1]),
    }


CASES = {
    "image_projection": _image_projection,
    "full_face_projection": _one_input,
    "plus_resampler": _one_input,
    "faceid_projection": _image_projection,
    "faceid_plus_projection": _faceid_plus_projection,
    "faceid_attention": _faceid_attention,
    "cross_attention": at_scales,
}

"""Runs one attention layer of the UNet with our processors."""

from collections.abc import Mapping

from diffusers.models.attention_processor import Attention
from torch import Tensor
from torch.nn.functional import linear

from benchmarks.parity.fixture import Fixture
from bolid_train.methods.layers.attention import BranchedAttention, Sampling


def attention_layer(weights: Mapping[str, Tensor], heads: int) -> Attention:
    """The UNet's layer with these weights, `to_q.weight` and so on."""
    hidden, context = weights["to_q.weight"].shape[1], weights["to_k.weight"].shape[1]
    inner = weights["to_q.weight"].shape[0]
    layer = Attention(hidden, cross_attention_dim=context, heads=heads, dim_head=inner // heads, bias=False)
    layer.load_state_dict(dict(weights))
    return layer.eval()


def cross_attention(
    fixture: Fixture,
    scale: float,
    mask: Tensor | None = None,
    sampling: Sampling = "bicubic",
    layer: Attention | None = None,
    part: str = "ip_adapter.1.",
) -> Tensor:
    """The layer's output (B, N, C) for the text and the image tokens, at a scale. `mask`: (H, W), of one region."""
    layer = layer or attention_layer(fixture.part("unet.attn2."), fixture.dims["heads"])
    layer.set_processor(BranchedAttention(0, [scale], sampling))
    adapter = fixture.part(part)
    tokens = fixture.inputs["image_tokens"][:, None]
    keys_and_values = [linear(tokens, adapter[f"to_{kind}_ip.weight"]) for kind in "kv"]
    masks = {} if mask is None else {"ip_adapter_masks": [mask[None, None]]}
    output: Tensor = layer(
        fixture.inputs["hidden_states"],
        encoder_hidden_states=(fixture.inputs["text"], [keys_and_values]),
        **masks,
    )
    return output


def at_scales(fixture: Fixture) -> dict[str, Tensor]:
    """The outputs of a case of cross-attention at its scale, at 0 and at 1."""
    scales = {"hidden_states": fixture.dims["scale"], "hidden_states_scale_0": 0.0, "hidden_states_scale_1": 1.0}
    return {name: cross_attention(fixture, scale) for name, scale in scales.items()}

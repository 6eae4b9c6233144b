"""The branches are the paper's attention, and their files are plain IP-Adapters: for diffusers, and for ComfyUI as far
as the code of its node (ComfyUI_IPAdapter_plus) says what it asks for."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import torch
import torch.nn.functional as functional
from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor2_0, IPAdapterAttnProcessor2_0
from safetensors.torch import load_file
from torch import Tensor, nn

from bolid_data.errors import BolidError
from bolid_train.diffusion.base import Base
from bolid_train.methods.bolid.method import Bolid
from bolid_train.methods.layers.branches import Branches
from small_world import sdxl
from tests.support.drawn_batches import drawn_unet, installed, small_settings
from tests.support.sdxl import SDXL
from tests.support.small_base import small_base


def test_attention_is_the_sum_of_the_papers_three_terms() -> None:
    method, unet = installed("bolid")
    attention = unet.get_submodule("mid_block.attentions.0.transformer_blocks.0.attn2")
    queries, text, ref, body = torch.randn(2, 9, 96), *(torch.randn(2, length, 80) for length in (7, 4, 4))
    method.scale("ref", 0.3)
    method.scale("body", 0.7)

    def term(tokens: Tensor, key: nn.Module, value: nn.Module) -> Tensor:
        heads = [
            x.view(2, -1, attention.heads, 32).transpose(1, 2)
            for x in (attention.to_q(queries), key(tokens), value(tokens))
        ]
        return functional.scaled_dot_product_attention(*heads).transpose(1, 2).reshape(2, 9, 96)

    own = (attention.to_k, attention.to_v)  # what the branches' own start as
    expected = attention.to_out[0](term(text, *own) + 0.3 * term(ref, *own) + 0.7 * term(body, *own))
    for gradients in (True, False):  # they are computed in two ways
        with torch.set_grad_enabled(gradients):
            tokens = method.branches.keys_and_values([ref[:, None], body[:, None]])
            got = attention(queries, encoder_hidden_states=(text, tokens))
        torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("gradients", [True, False])
def test_outside_its_mask_a_person_adds_nothing_to_attention(gradients: bool) -> None:
    method, unet = installed("bolid")
    attention = unet.get_submodule("mid_block.attentions.0.transformer_blocks.0.attn2")
    queries, text = torch.randn(1, 64, 96), torch.randn(1, 7, 80)
    people = [torch.randn(1, 2, 4, 80) for _ in range(2)]  # two people for either branch
    masks = torch.zeros(1, 2, 8, 8)
    masks[0, 0, :, :3], masks[0, 1, :, 5:] = 1, 1

    def outputs(tokens: list[Tensor], **kwargs: object) -> Tensor:
        with torch.set_grad_enabled(gradients):
            hidden = attention(queries, encoder_hidden_states=(text, method.branches.keys_and_values(tokens)), **kwargs)
        return hidden.detach().unflatten(1, (8, 8))

    both = outputs(people, ip_adapter_masks=[masks, masks])
    first, second = (outputs([tokens[:, person : person + 1] for tokens in people]) for person in (0, 1))
    method.scale("ref", 0.0)
    method.scale("body", 0.0)
    base = outputs(people)
    assert torch.equal(both[:, :, 3:5], base[:, :, 3:5]), "between the boxes"
    torch.testing.assert_close(both[:, :, :3], first[:, :, :3])
    torch.testing.assert_close(both[:, :, 5:], second[:, :, 5:])


def test_gradients_are_those_of_the_fused_attention() -> None:
    queries, text = torch.randn(2, 9, 96), torch.randn(2, 7, 80)
    tokens = [torch.randn(2, 1, 4, 80, requires_grad=True) for _ in range(2)]
    method, unet = installed("bolid")
    block = unet.get_submodule("mid_block.attentions.0.transformer_blocks.0")
    names = [name for name in unet.attn_processors if "attn2" in name]
    position = 2 * names.index("mid_block.attentions.0.transformer_blocks.0.attn2.processor") + 1
    weights = method.branches.to_kv[0]

    def gradients(branches: list[Tensor] | Sequence[Sequence[Tensor]], wanted: list[Tensor]) -> list[Tensor]:
        hidden = block.attn2(block.attn1(queries), encoder_hidden_states=(text, branches))
        return list(torch.autograd.grad(hidden.square().sum(), [*tokens, *wanted]))

    *ours, of_all = gradients(method.branches.keys_and_values(tokens), [weights])
    fused = IPAdapterAttnProcessor2_0(96, 80, num_tokens=[4, 4])
    fused.load_state_dict(
        {
            f"to_{kind}_ip.{branch}.weight": method.branches.tensors(name)[f"ip_adapter.{position}.to_{kind}_ip.weight"]
            for branch, name in enumerate(("ref", "body"))
            for kind in "kv"
        }
    )
    block.attn2.set_processor(fused)
    block.attn1.set_processor(AttnProcessor2_0())
    *expected, of_keys, of_values = gradients(tokens, [fused.to_k_ip[0].weight, fused.to_v_ip[0].weight])
    for got, wanted in zip(ours, expected, strict=True):
        torch.testing.assert_close(got, wanted)
    with torch.no_grad():
        weights.copy_(of_all)
    layer = method.branches.tensors("ref")
    torch.testing.assert_close(layer[f"ip_adapter.{position}.to_k_ip.weight"], of_keys)
    torch.testing.assert_close(layer[f"ip_adapter.{position}.to_v_ip.weight"], of_values)


@pytest.mark.parametrize("base", [small_base, lambda: sdxl.FOLDER], ids=["random", "small-sdxl"])
def test_stock_diffusers_draws_the_same_picture_from_the_files(base: object, tmp_path: Path) -> None:
    texts = dict.fromkeys(("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"))
    pipe = StableDiffusionXLPipeline.from_pretrained(base(), add_watermarker=False, **texts)
    pipe.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(0)
    stock = pipe.unet.attn_processors
    channels = pipe.unet.config.in_channels
    method = Bolid(
        small_settings("bolid"), {"image_embeds": (48,), "view_embeds": (48,), "view_latents": (channels, 16, 16)}
    )
    method.install(pipe.unet, Base.at("base", base()))
    with torch.no_grad():
        for value in method.parameters():
            value += 0.05 * torch.randn(value.shape, generator=generator)
    method.save(tmp_path)
    width, pooled = pipe.unet.config.cross_attention_dim, pipe.unet.config.projection_class_embeddings_input_dim - 192
    prompt, embeds, ref, body = (
        torch.randn(size, generator=generator) for size in ((2, 7, width), (2, pooled), 48, 32)
    )

    def picture(scales: tuple[float, float] = (1.0, 0.8)) -> Tensor:
        return pipe(
            prompt_embeds=prompt[:1],
            negative_prompt_embeds=prompt[1:],
            pooled_prompt_embeds=embeds[:1],
            negative_pooled_prompt_embeds=embeds[1:],
            ip_adapter_image_embeds=[torch.stack([torch.zeros_like(x), x])[:, None] for x in (ref, body)],
            num_inference_steps=2,
            height=64,
            width=64,
            generator=torch.Generator().manual_seed(1),
            output_type="pt",
        ).images

    method.scale("ref", 1.0)
    method.scale("body", 0.8)
    ours = picture()
    method.scale("body", 0.0)
    assert not torch.equal(picture(), ours)

    pipe.unet.set_attn_processor(stock)
    pipe.unet.encoder_hid_proj = None
    pipe.load_ip_adapter(
        [tmp_path, tmp_path],
        subfolder=["", ""],
        weight_name=["ref.safetensors", "body.safetensors"],
        image_encoder_folder=None,
    )
    pipe.set_ip_adapter_scale([1.0, 0.8])
    assert all(type(p) in (AttnProcessor2_0, IPAdapterAttnProcessor2_0) for p in pipe.unet.attn_processors.values())
    print("largest difference of pixels:", (picture() - ours).abs().max().item())
    assert torch.equal(picture(), ours)


def test_a_file_has_what_comfyui_asks_of_a_plain_ip_adapter(tmp_path: Path) -> None:
    method, _ = installed("bolid")
    method.save(tmp_path)
    for name in ("ref", "body"):
        shapes = {key: value.shape for key, value in load_file(tmp_path / f"{name}.safetensors").items()}
        _check_comfyui(shapes, {"ref": 64, "body": 32}[name], 80, _layers(drawn_unet()))


def test_sdxls_file_has_what_comfyui_asks_of_an_sdxl_ip_adapter() -> None:
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(SDXL)
        branches = Branches(unet, {"ref": 1280, "body": 768}, zero_tokens=True)
    keys_and_values = 2 * 2048 * (10 * 640 + 60 * 1280)
    projections = (1280 + 768) * 4 * 2048 + 2 * 2048  # biases stay at 0
    trained = 2 * keys_and_values + projections
    assert sum(value.numel() for value in branches.trained_parameters()) == trained
    biases = 2 * (4 + 1) * 2048
    assert sum(value.numel() for value in unet.parameters()) == 2_567_463_684 + trained + biases  # SDXL's, and ours
    layers = _layers(unet)
    # The node goes down, up and to the middle, with these depths, and counts.
    assert layers == [640] * 4 + [1280] * 20 + [1280] * 30 + [640] * 6 + [1280] * 10
    for name, width in (("ref", 1280), ("body", 768)):
        shapes = {key: value.shape for key, value in branches.tensors(name).items()}
        _check_comfyui(shapes, width, 2048, layers)


def _layers(unet: UNet2DConditionModel) -> list[int]:
    """Widths of the cross-attention layers, in the order in which ComfyUI numbers them."""
    names = [name for name in unet.attn_processors if "attn2" in name]
    order = sorted(names, key=lambda name: ["down", "up", "mid"].index(name.split("_block")[0]))
    return [unet.get_submodule(name.removesuffix(".processor")).to_q.out_features for name in order]


def _check_comfyui(shapes: Mapping[str, torch.Size], embed: int, text: int, layers: list[int]) -> None:
    parts = {
        prefix: {
            key.removeprefix(f"{prefix}."): tuple(shape) for key, shape in shapes.items() if key.startswith(prefix)
        }
        for prefix in ("image_proj", "ip_adapter")
    }
    assert sum(map(len, parts.values())) == len(shapes)
    # Loaded strictly into Linear and LayerNorm; other names would mean "plus", "full" or "FaceID". 4 tokens are taken.
    assert parts["image_proj"] == {
        "proj.weight": (4 * text, embed), "proj.bias": (4 * text,), "norm.weight": (text,), "norm.bias": (text,)
    }  # fmt: skip
    # The width of the text says whether it is SDXL's (2048); layer n is called 2n + 1.
    assert parts["ip_adapter"]["1.to_k_ip.weight"][1] == text
    assert parts["ip_adapter"] == {
        f"{2 * number + 1}.to_{kind}_ip.weight": (width, text) for number, width in enumerate(layers) for kind in "kv"
    }


def test_files_of_another_base_are_refused_by_name(tmp_path: Path) -> None:
    method, _ = installed("bolid")
    method.save(tmp_path)
    other = UNet2DConditionModel.from_pretrained(sdxl.FOLDER, subfolder="unet")
    with pytest.raises(BolidError, match=r"ref\.safetensors does not fit this base"):
        Branches(other, {"ref": 64, "body": 32}, zero_tokens=True).load("ref", tmp_path / "ref.safetensors")

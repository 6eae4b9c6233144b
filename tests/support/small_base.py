"""An SDXL with random weights, so small that a training step takes milliseconds: what a test asks of the wiring needs
no pictures."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

import torch
from diffusers import AutoencoderKL, StableDiffusionXLPipeline, UNet2DConditionModel
from transformers import (
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from small_world.sdxl import build_scheduler
from small_world.tokenizer import build_tokenizer

_TEXT, _TEXT_2, _IMAGE, _POOLED, _TIME = 32, 48, 64, 48, 32
_VIEW_SIDE = 64


@cache
def small_base() -> Path:
    """The folder of the pipeline, with an image encoder; it is gone when the tests end. Do not change it."""
    folder = Path(tempfile.mkdtemp(prefix="bolid-small-base-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        _pipeline().save_pretrained(folder)
    return folder


def _pipeline() -> StableDiffusionXLPipeline:
    tokenizer = build_tokenizer()

    def text_config(width: int, projection_dim: int) -> CLIPTextConfig:
        return CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=2 * width,
            num_hidden_layers=3,
            num_attention_heads=4,
            projection_dim=projection_dim,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )

    return StableDiffusionXLPipeline(
        vae=_vae(),
        text_encoder=CLIPTextModel(text_config(_TEXT, _TEXT)),
        text_encoder_2=CLIPTextModelWithProjection(text_config(_TEXT_2, _POOLED)),
        tokenizer=tokenizer,
        tokenizer_2=build_tokenizer(),
        unet=_unet(),
        scheduler=build_scheduler(),
        image_encoder=CLIPVisionModelWithProjection(
            CLIPVisionConfig(
                hidden_size=96,
                intermediate_size=192,
                num_hidden_layers=3,
                num_attention_heads=4,
                image_size=_VIEW_SIDE,
                patch_size=8,
                projection_dim=_IMAGE,
            )
        ),
        feature_extractor=CLIPImageProcessor(size={"shortest_edge": _VIEW_SIDE}, crop_size=_VIEW_SIDE),
        add_watermarker=False,
    )


def _vae() -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(16, 32, 32),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=64,
        scaling_factor=0.13025,
    )


def _unet() -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(32, 64, 96),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 1, 2),
        attention_head_dim=(1, 2, 3),
        cross_attention_dim=_TEXT + _TEXT_2,
        norm_num_groups=8,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=_TIME,
        projection_class_embeddings_input_dim=_POOLED + 6 * _TIME,
    )

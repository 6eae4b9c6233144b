"""A small SDXL with random weights at a fixed seed, saved as an ordinary diffusers folder."""

import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from filelock import FileLock
from transformers import (
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from bolid_data.progress import note
from bolid_train.tiny.tokenizer import build_tokenizer

_SEED = 0
_TEXT, _TEXT_2, _IMAGE, _POOLED, _TIME = 32, 48, 64, 48, 32
_VIEW_SIDE = 64


def build_small_sdxl(folder: Path) -> Path:
    """Writes the small SDXL to `folder` unless it is there; the same bytes on every machine of one torch version.

    Every part of SDXL is there and wired as in the original (two text encoders, text_time embedding,
    ε-prediction, leading timesteps), plus the CLIP image encoder an IP-Adapter needs; images are 64×64 px,
    latents 16×16.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        if not folder.is_dir():
            _write(folder)
    return folder


def _write(folder: Path) -> None:
    note(f"train: building {folder} with RANDOM weights (seed {_SEED}); every step runs, but its pictures are noise")
    unfinished = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(unfinished, ignore_errors=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        _pipeline().save_pretrained(unfinished)
    unfinished.rename(folder)


def _pipeline() -> StableDiffusionXLPipeline:
    tokenizer = build_tokenizer()
    return StableDiffusionXLPipeline(
        vae=_vae(),
        text_encoder=CLIPTextModel(_text_config(tokenizer, _TEXT)),
        text_encoder_2=CLIPTextModelWithProjection(_text_config(tokenizer, _TEXT_2, projection_dim=_POOLED)),
        tokenizer=tokenizer,
        tokenizer_2=build_tokenizer(),
        unet=_unet(),
        scheduler=EulerDiscreteScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            prediction_type="epsilon",
            timestep_spacing="leading",
            steps_offset=1,
        ),
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


def _text_config(tokenizer: CLIPTokenizer, width: int, projection_dim: int = 512) -> CLIPTextConfig:
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

"""The small SDXL: every part of the original, wired as there, only fewer and narrower."""

from diffusers import AutoencoderKL, EulerDiscreteScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from bolid_data.weights import embedded_path

FOLDER = embedded_path("small-sdxl")
"""The trained one, an ordinary diffusers folder."""

LIGHTNING = embedded_path("small-lightning")
"""LoRA weights that make it a 4-step model, as `sdxl_lightning_4step_lora.safetensors` does with SDXL."""

SIDE = 64
LATENT_CHANNELS = 8
_TEXT, _TEXT_2, _POOLED, _TIME = 64, 128, 128, 32


def build_vae() -> AutoencoderKL:
    """SDXL's VAE, one stage shorter and with twice the latent channels, for one latent pixel holds more of a small
    photo than of a large one: a 64×64 photo becomes a 16×16×8 latent."""
    return AutoencoderKL(
        block_out_channels=(24, 48, 96),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=8,
        sample_size=SIDE,
    )


def build_text_encoders(tokenizer: CLIPTokenizer) -> tuple[CLIPTextModel, CLIPTextModelWithProjection]:
    """Two CLIP text encoders; the second also gives the pooled embedding."""
    configs = (_text_config(tokenizer, width) for width in (_TEXT, _TEXT_2))
    encoder, encoder_2 = CLIPTextModel(next(configs)), CLIPTextModelWithProjection(next(configs))
    for model in (encoder, encoder_2):
        model.set_attn_implementation("eager")  # on CPU the fused attention's backward pass is slow
    return encoder, encoder_2


def build_unet() -> UNet2DConditionModel:
    """SDXL's UNet: no attention at the highest resolution, transformer blocks below, text_time embedding."""
    return UNet2DConditionModel(
        sample_size=SIDE // 4,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        block_out_channels=(64, 128, 160),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=1,
        attention_head_dim=(2, 4, 5),
        cross_attention_dim=_TEXT + _TEXT_2,
        norm_num_groups=8,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=_TIME,
        projection_class_embeddings_input_dim=_POOLED + 6 * _TIME,
    )


def build_scheduler() -> EulerDiscreteScheduler:
    """SDXL's own: ε-prediction, scaled-linear β, leading timesteps."""
    return EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="epsilon",
        timestep_spacing="leading",
        steps_offset=1,
    )


def _text_config(tokenizer: CLIPTokenizer, width: int) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=3,
        num_attention_heads=width // 32,
        projection_dim=_POOLED,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
